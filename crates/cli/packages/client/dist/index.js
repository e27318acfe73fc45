/** `@ferry/client`: records of a Dexie database, kept in sync with a Ferry hub. */
export { ferryRecords, FerryRecords } from "./records.js";
