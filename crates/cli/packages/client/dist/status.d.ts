/** The state of the connection, as a store that user interfaces can subscribe to (REC-63). */
/**
 * `syncing`: connecting or catching up. `live`: has everything the hub has, and hears of what comes. `paused`: the
 * hub asks for payment. `error`: see `message`; it is tried again.
 */
export type SyncState = "offline" | "syncing" | "live" | "paused" | "error";
/** What {@link StatusStore} holds. */
export type Status = {
    readonly state: SyncState;
    /** Why it is paused or in error. */
    readonly reason?: string;
    readonly message?: string;
    /** Writes that the hub has not confirmed. */
    readonly pending: number;
    /** The database's sequence number as last told. */
    readonly seq: number;
    /** Whether the whole state has arrived once. */
    readonly ready: boolean;
};
/** Holds the status. `subscribe` calls at once and at each change, and returns how to stop (as Svelte's stores do). */
export declare class StatusStore {
    #private;
    /** The status now. */
    get(): Status;
    /** Calls at once and at each change; gives how to stop. */
    subscribe(listener: (status: Status) => void): () => void;
    /** Returns whether anything changed. */
    set(status: Status): boolean;
}
