import type { Status } from "@ferry/client/functions";
/** Whether live results are fresh: for a line that says "offline", say. */
export declare function useStatus(): Status;
