/** `@ferry/client`: records of a Dexie database, kept in sync with a Ferry hub. */
export { ferryRecords, FerryRecords, type RecordsOptions } from "./records.ts";
export type { GetToken } from "./http.ts";
export type { Json, Kinds } from "./json.ts";
export type { Status, StatusStore, SyncState } from "./status.ts";
export type { Field, Fields, Op, Refused } from "./store.ts";
export type { Conflict } from "./wire.ts";
