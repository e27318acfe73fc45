/** Makes a Dexie database ready for Ferry. */
import type { Dexie } from "dexie";
import { type Store } from "./store.ts";
import type { Held } from "./working-set.ts";
/**
 * Adds Ferry's tables to the newest version of the schema, and the capture of writes.
 * @throws Error when the database is open, or a table cannot be synced.
 */
export declare function attach(store: Store): void;
/** Before the application's first read or write: the state, and the rows that were there before Ferry. Returns those that cannot travel. */
export declare function prepare(store: Store, db: Dexie): Promise<Held[]>;
