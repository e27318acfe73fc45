import { useMemo, useSyncExternalStore } from "react";
import { useFerry } from "./provider.js";
const SKIPPED = {
    get: () => SKIPPED_RESULT,
    subscribe: () => () => { },
    ready: () => Promise.resolve(),
};
const SKIPPED_RESULT = { data: undefined, error: undefined, isLoading: false, isStale: false };
export function useQuery(fn, args = {}, { suspense = false } = {}) {
    const client = useFerry();
    const name = args === "skip" ? undefined : `${fn} ${JSON.stringify(args)}`;
    // The same store as long as the query is the same: React would subscribe anew otherwise.
    const store = useMemo(() => (name === undefined ? SKIPPED : client.observe(fn, args)), [client, name]);
    const result = useSyncExternalStore(store.subscribe, store.get, store.get);
    if (suspense) {
        if (result.isLoading)
            throw store.ready();
        if (result.error && result.data === undefined)
            throw result.error;
    }
    return result;
}
