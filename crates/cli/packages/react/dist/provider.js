import { createContext, createElement, useContext } from "react";
const Client = createContext(undefined);
/** Gives the client to the hooks below it. */
export function FerryProvider({ client, children }) {
    return createElement(Client.Provider, { value: client }, children);
}
/** The client of the nearest {@link FerryProvider}. */
export function useFerry() {
    const client = useContext(Client);
    if (!client)
        throw new Error("ferry: there is no client here: put <FerryProvider client={client}> around the app");
    return client;
}
