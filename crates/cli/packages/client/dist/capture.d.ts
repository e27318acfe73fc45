/**
 * Captures what the application writes through Dexie's own API (REC-60): each change of a synced table gets its
 * times and its outbox row in the IndexedDB transaction that makes it.
 */
import { type DBCore, type Middleware } from "dexie";
import { type Json } from "./json.ts";
import { type Store } from "./store.ts";
/** The middleware for `db.use`. */
export declare function capture(store: Store): Middleware<DBCore>;
/**
 * A field of the application's as it travels.
 * @throws TypeError for what cannot (REC-67).
 */
export declare function encodeField({ types }: Store, table: string, id: string, name: string, value: unknown): Json;
