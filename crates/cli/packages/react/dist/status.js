import { useSyncExternalStore } from "react";
import { useFerry } from "./provider.js";
/** Whether live results are fresh: for a line that says "offline", say. */
export function useStatus() {
    const { status } = useFerry();
    return useSyncExternalStore(status.subscribe, status.get, status.get);
}
