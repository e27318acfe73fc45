import { collection, integer, table, text } from "@ferry/server/schema";

// The records that pages keep in Dexie and sync, as a table: functions read and write it like any other.
export const todos = collection("todos", {
  app: "todo",
  title: text(),
  done: integer({ mode: "boolean" }),
  createdAt: text(),
});

// A table of the hub alone.
export const notes = table("notes", {
  id: integer("id").primaryKey({ autoIncrement: true }),
  author: text("author").notNull(),
  body: text("body").notNull(),
  createdAt: integer("created_at", { mode: "timestamp_ms" }).notNull().$defaultFn(() => new Date()),
});
