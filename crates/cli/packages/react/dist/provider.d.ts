import type { FerryClient } from "@ferry/client/functions";
import { type ReactElement, type ReactNode } from "react";
type AnyClient = FerryClient<any>;
/** What {@link FerryProvider} takes. */
export interface FerryProviderProps {
    /** The client, made once outside of components: `createClient({ url, key })`. */
    client: AnyClient;
    /** The app. */
    children?: ReactNode;
}
/** Gives the client to the hooks below it. */
export declare function FerryProvider({ client, children }: FerryProviderProps): ReactElement;
/** The client of the nearest {@link FerryProvider}. */
export declare function useFerry(): FerryClient;
export {};
