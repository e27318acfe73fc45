/** Brings the hub's changes: by pages, or over one stream that stays open. */
import type { SyncContext } from "./context.ts";
/** Everything up to now, by pages. */
export declare function catchUp(context: SyncContext, signal: AbortSignal): Promise<"done" | "resync">;
/** Follows the stream until it ends; `onLive` is called whenever everything has come. Returns whether streams get through. */
export declare function follow(context: SyncContext, signal: AbortSignal, onLive: () => void): Promise<boolean>;
