/**
 * What Ferry keeps in the application's own IndexedDB database, beside its tables. One database, so that a write
 * and its outbox row share a transaction.
 */
import type { Dexie } from "dexie";
import type { Json, Kinds } from "./json.ts";
import type { Stamp } from "./rule.ts";
export declare const META = "_ferry_meta";
export declare const OUTBOX = "_ferry_outbox";
export declare const REFUSED = "_ferry_refused";
export declare const STATE = "_ferry_state";
export declare const OWN_TABLES: string[];
/** The field that says whether a record is deleted. */
export declare const DELETED = "deletedAt";
/** The schema of Ferry's own tables. */
export declare const SCHEMA: {
    _ferry_meta: string;
    _ferry_outbox: string;
    _ferry_refused: string;
    _ferry_state: string;
};
/** One field as it travels. */
export type Field = {
    value: Json;
    at: string;
    by?: string;
};
/** Fields by name. */
export type Fields = Record<string, Field>;
/** What was done to a record. */
export type Op = "insert" | "update" | "delete";
/** The fields of a row as the application stores them, without its key. */
export type Values = Record<string, unknown>;
/** What is known of one record beyond its row. */
export type Meta = {
    k: string;
    /** Time and writer of each field. */
    at: Record<string, Stamp>;
    /** The value of `deletedAt` while the record is deleted. */
    dead?: Json;
    /** The values while the record has no row: it is deleted, or the table would not take it. */
    rest?: Values;
    /** The resync in which the hub last showed the record. */
    pass?: number;
};
/** A write that the hub has not confirmed. */
export type Outgoing = {
    n?: number;
    table: string;
    id: string;
    op: Op;
    fields: Fields;
    /** The cursor when it was written. */
    seen: string;
};
/** A write that the hub refused. */
export type Refused = Outgoing & {
    /** Its number, for `retry` and `discard`. */
    n: number;
    reason: string;
    message: string;
};
/** The one row of the state table. */
export type State = {
    k: "state";
    device: string;
    /** Clock: the last microsecond given out or seen. */
    us: number;
    /** How far this computer's clock is ahead of the hub's, milliseconds; only where that is much. */
    skewMs: number;
    cursor: string;
    epoch?: string;
    seq: number;
    /** Number of the last resync. */
    pass: number;
    /** Why the resync that is going on was begun; `epoch`: the hub may have lost what this device wrote. */
    resync?: "horizon" | "epoch";
    /** Whose records these are: the hub's name for issuer and subject. */
    owner?: string;
    /** Somebody else is logged in: no record has a row until it is said what is to become of them (REC-65). */
    parked?: true;
    /** Keys (of `META`) of records that their table would not take. */
    held?: string[];
    /** The owner's newest commit as the last push heard of it: what proves that the hub was put back (REC-22). */
    head?: string;
    /** The tables that the cursor speaks of. */
    tables: string[];
};
export declare const keyOf: (table: string, id: string) => string;
/** The row without its key. `deletedAt` belongs to Ferry. */
export declare function valuesOf(row: Values, keyPath: string): Values;
/** The state of a device that has never met the hub. */
export declare function newState(): State;
/** The next time for a write. The caller stores `state` in the same transaction. */
export declare function tick(state: State, nowMs: number): string;
/** Never give out a time before one that has been seen. */
export declare function observe(state: State, at: Stamp): void;
/**
 * Corrects the clock by the hub's. What was written by a clock that was far ahead keeps its time, since the hub may
 * have it already: the hub chooses another one (REC-04) and says so in its answer.
 */
export declare function correctClock(state: State, nowMs: number, hubs: string): void;
export declare const recordOf: (key: string) => {
    table: string;
    id: string;
};
/** The database with everything that the parts of the client share. */
export declare class Store {
    readonly db: Dexie;
    readonly tables: string[];
    readonly now: () => number;
    /** Called when a transaction with captured writes has been committed. Added twice, it is called once. */
    readonly onCaptured: () => void;
    readonly types: Record<string, Kinds>;
    /** Transactions that apply what the hub sent: their writes are not captured. */
    readonly applying: WeakSet<object>;
    constructor(db: Dexie, tables: string[], now: () => number, 
    /** Called when a transaction with captured writes has been committed. Added twice, it is called once. */
    onCaptured: () => void, types?: Record<string, Kinds>);
    state(): Promise<State>;
    pending(): Promise<number>;
    /** Runs `work` in one transaction over all tables, with the state, which is stored again at its end. */
    write<T>(work: (state: State) => Promise<T>): Promise<T>;
}
