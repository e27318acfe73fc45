/** Tabs of one application share one database: one of them leads, and all of them know what it knows (REC-63). */
import type { Report } from "./apply.ts";
import type { Status } from "./status.ts";
/** What tabs tell each other. */
export type Message = {
    type: "status";
    status: Status;
} | {
    type: "report";
    report: Report;
}
/** Something was written: the leader should push. */
 | {
    type: "kick";
} | {
    type: "wake";
} | {
    type: "restart";
}
/** The rows may be another user's now. */
 | {
    type: "switch";
}
/** The user has logged out: nothing syncs until the page is loaded again. */
 | {
    type: "logout";
}
/** A new tab asks for the status. */
 | {
    type: "hello";
};
/** Runs `work` while this tab leads; rejects when `signal` ends the waiting. Without Web Locks every tab leads. */
export declare function lead(name: string, signal: AbortSignal, work: () => Promise<void>): Promise<void>;
