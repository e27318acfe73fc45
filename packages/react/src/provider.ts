import type { FerryClient } from "@ferry/client/functions";
import { createContext, createElement, useContext, type ReactElement, type ReactNode } from "react";

// Hooks are typed by `Register`; the provider takes a client of any functions.
type AnyClient = FerryClient<any>;

const Client = createContext<AnyClient | undefined>(undefined);

/** What {@link FerryProvider} takes. */
export interface FerryProviderProps {
  /** The client, made once outside of components: `createClient({ url, key })`. */
  client: AnyClient;
  /** The app. */
  children?: ReactNode;
}

/** Gives the client to the hooks below it. */
export function FerryProvider({ client, children }: FerryProviderProps): ReactElement {
  return createElement(Client.Provider, { value: client }, children);
}

/** The client of the nearest {@link FerryProvider}. */
export function useFerry(): FerryClient {
  const client = useContext(Client);
  if (!client) throw new Error("ferry: there is no client here: put <FerryProvider client={client}> around the app");
  return client;
}
