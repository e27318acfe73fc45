import type { Status } from "@ferry/client/functions";
import { useSyncExternalStore } from "react";
import { useFerry } from "./provider.ts";

/** Whether live results are fresh: for a line that says "offline", say. */
export function useStatus(): Status {
  const { status } = useFerry();
  return useSyncExternalStore(status.subscribe, status.get, status.get);
}
