/** The public face: attach a Dexie database to a hub. */
import type { Dexie } from "dexie";
import { type GetToken } from "./http.ts";
import type { Kinds } from "./json.ts";
import { StatusStore } from "./status.ts";
import { type Refused } from "./store.ts";
import type { Conflict } from "./wire.ts";
import type { Held } from "./working-set.ts";
export type RecordsOptions = {
    /** Where the hub is: `https://hub.example.com`. A path is kept. */
    url: string;
    /** The application's name at the hub. */
    app: string;
    /** A publishable API key of the database (`fy_pk_…`). Records are the user's whom `getToken` names, without one the key's. */
    key?: string;
    /** Id or name of the hub's database; default: the credential's. */
    database?: string;
    /** The credential; called again with one that the hub has refused. Without it: none (a hub in `--dev`). */
    getToken?: GetToken;
    /** The tables to sync; default: all. */
    tables?: string[];
    /** Fields that hold dates or bytes: `{ photos: { taken: "date", data: "bytes" } }`. */
    types?: Record<string, Kinds>;
    /** A write of this device lost against one that it had not seen, or a delete of it beat a later edit of another's. */
    onConflict?: (conflict: Conflict) => void;
    /** The hub refused a write; it is kept aside. */
    onRejected?: (rejected: Refused) => void;
    /**
     * A record has no row on this device, since a unique index (`index`) has room for another one (`other`) alone, or
     * cannot travel; or, without a record, syncing failed.
     */
    onError?: (error: unknown, record?: Omit<Held, "error">) => void;
    /** Where streams do not get through: how often to ask, milliseconds. */
    pollMs?: number;
    /** In place of the global `fetch`. */
    fetch?: typeof fetch;
    /** In place of the system's clock, milliseconds since 1970. */
    now?: () => number;
};
/**
 * Keeps the tables of a Dexie database in sync with a hub. Call it after `db.version(…).stores(…)` and before the
 * database is used; then use Dexie as ever.
 */
export declare function ferryRecords(db: Dexie, options: RecordsOptions): FerryRecords;
export declare class FerryRecords {
    #private;
    /** The state of syncing. */
    readonly status: StatusStore;
    /** Fulfilled once the hub's whole state has arrived for the first time, on this or an earlier run. */
    readonly initialSync: Promise<void>;
    constructor(db: Dexie, options: RecordsOptions);
    /** Tries at once, instead of when it is time. */
    syncNow(): void;
    /** The writes that the hub has refused. The rows still show them. */
    rejected(): Promise<Refused[]>;
    /**
     * Says what is to become of the rows of this device when another user is logged in (`OWNER_CHANGED`): they become
     * theirs, or are deleted here, together with what was never sent.
     */
    switchOwner(rows: "keep" | "discard"): Promise<void>;
    /**
     * Sends what waits, then ends syncing in all tabs until the page is loaded again. The rows are deleted from this
     * device, or put away until the same user is back.
     * @throws Error when something could not be sent; then nothing has changed.
     */
    logout(rows?: "keep" | "discard"): Promise<void>;
    /** Sends a refused write again: after the user has been given the right, say. */
    retry(n: number): Promise<void>;
    /** Gives a refused write up: the hub's state takes its place. */
    discard(n: number): Promise<void>;
    /** Ends syncing; the database stays open. */
    close(): void;
}
