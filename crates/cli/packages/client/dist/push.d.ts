/** Sends the outbox: batches of 200; what the hub refuses is set aside (REC-62). */
import type { SyncContext } from "./context.ts";
/** Sends one batch, one at a time. `idle`: there is nothing to send, or not now. */
export declare function pushBatch(context: SyncContext, signal: AbortSignal): Promise<"more" | "idle" | "resync">;
