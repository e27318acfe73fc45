/** Records being changed within one transaction: read at once, written at once. */
import { type Field, type Meta, type State, type Store, type Values } from "./store.ts";
import type { Conflict } from "./wire.ts";
/** A record in memory, as it will be. `was`: its times before. */
export type WorkingCopy = {
    table: string;
    id: string;
    keyPath: string;
    meta: Meta;
    was: Meta["at"];
    values: Values;
    hasRow: boolean;
};
/** By `keyOf`. */
export type WorkingSet = Map<string, WorkingCopy>;
/** A record that has no row, since its table would not take it. */
export type Held = {
    table: string;
    id: string;
    error: unknown;
    /** The unique index that has room for one of two records, and the key of the other one. */
    index?: string;
    other?: string;
};
/** Takes the field over, whatever was there. */
export declare function take(store: Store, copy: WorkingCopy, name: string, { value, at, by }: Field, state: State): void;
/** Takes the field over if it wins. */
export declare function merge(store: Store, copy: WorkingCopy, name: string, field: Field, state: State): void;
/** Forgets the field. */
export declare function forget(copy: WorkingCopy, name: string): void;
/** Reads the records of synced tables, by key; each appears once. */
export declare function load(store: Store, records: {
    table: string;
    id: string;
}[]): Promise<WorkingSet>;
/** Writes rows and times. Returns the records that have newly lost their row, and writes that newly lost to a delete. */
export declare function save(store: Store, state: State, workingSet: WorkingSet): Promise<{
    held: Held[];
    conflicts: Conflict[];
}>;
