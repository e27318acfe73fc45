/** The results that the page shows: who wants them, what the hub said last, and which connection keeps them fresh. */
import { Connection, type Frame, type Wire } from "./connection.ts";
import { FerryError } from "./error.ts";
import { Overlays, type Overlay } from "./overlays.ts";
import type { StatusStore } from "./status.ts";
/** A query's result, as far as it is known. */
export interface QueryResult<T = unknown> {
    /** The newest result, under optimistic updates; undefined as long as there is none, and where the function gives none. */
    readonly data: T | undefined;
    /** Why there is no newer result. `data` stays what it was. */
    readonly error: FerryError | undefined;
    /** There is neither a result nor an error yet. */
    readonly isLoading: boolean;
    /** The hub may have a newer result: the connection is lost, or the last run failed. */
    readonly isStale: boolean;
}
/** Nothing is known yet. */
export declare const LOADING: QueryResult<never>;
export declare class Live {
    #private;
    private readonly wire;
    private readonly status;
    readonly overlays: Overlays;
    constructor(wire: Wire, status: StatusStore);
    static key(fn: string, args: string): string;
    shown(key: string): QueryResult;
    /** Keeps the result fresh until what is returned is called. */
    subscribe(fn: string, args: string, listener: () => void): () => void;
    /** Fulfilled once there is a result or an error. It keeps the result for a moment after that, whoever wants it. */
    ready(fn: string, args: string): Promise<void>;
    /** A mutation begins. */
    begin(overlay: Overlay): void;
    /** The mutation made the commit `seq`. */
    confirm(overlay: Overlay, seq: number): void;
    /** The mutation failed. */
    rollBack(overlay: Overlay): void;
    /** Another user: nothing of the one before is shown any more. */
    restart(): void;
    /** The same user has a new token. */
    authenticate(token: string): void;
    /** The network may be another one, or the device has slept. */
    wake(): void;
    close(): void;
    opened(connection: Connection): void;
    received(connection: Connection, frame: Frame): void;
    changed(connection: Connection): void;
    crowded(connection: Connection): void;
    blocked(connection: Connection): void;
}
