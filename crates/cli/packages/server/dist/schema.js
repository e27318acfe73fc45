// What `schema.ts` of a project imports: drizzle's builders and operators, and collections of records.
export * from "drizzle-orm";
export * from "drizzle-orm/sqlite-core";
export { sqliteTable as table } from "drizzle-orm/sqlite-core";
export { collection } from "./collection.js";
