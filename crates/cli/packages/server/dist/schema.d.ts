export * from "drizzle-orm";
export * from "drizzle-orm/sqlite-core";
export type { SelectedFields, SelectedFieldsFlat, SelectedFieldsOrdered, TableConfig, } from "drizzle-orm/sqlite-core";
export { sqliteTable as table } from "drizzle-orm/sqlite-core";
export { collection, type CollectionTable } from "./collection.ts";
