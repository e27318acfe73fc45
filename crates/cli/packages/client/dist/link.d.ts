/** The leader's connection to the hub: one loop that pulls, one that pushes. */
import type { SyncContext } from "./context.ts";
import type { SyncState } from "./status.ts";
/** Why nothing moves. */
export type Trouble = {
    state: SyncState;
    reason?: string;
    message?: string;
};
export declare class Link {
    #private;
    private readonly context;
    private readonly pollMs;
    /** The state of the connection has changed. */
    private readonly onState;
    constructor(context: SyncContext, pollMs: number, 
    /** The state of the connection has changed. */
    onState: (trouble: Trouble) => void);
    /** Runs until `signal`, or until the database is closed. */
    run(signal: AbortSignal): Promise<void>;
    /** There is something to push. */
    kick(): void;
    /** The network is back, or the user wants it now. */
    wake(): void;
    /** Ends the stream, so that the pull begins anew. */
    restart(): void;
    /** Another user may be logged in. */
    switch(): void;
    /** One step of the push loop. Returns whether there is reason to go on. */
    push(signal: AbortSignal): Promise<boolean>;
    /** If a resync is due: the whole of it, while nothing is pushed. */
    resync(signal: AbortSignal): Promise<void>;
}
