// Verifies: FUN-60
import { expect, test } from "vitest";
import { schemaJson } from "../src/runtime/schema-json.ts";
import {
  check, customType, foreignKey, index, integer, numeric, primaryKey, real, sql, sqliteView, table, text, unique, uniqueIndex,
} from "../src/schema.ts";
import * as schema from "./schema.ts";

test("tables, indexes, views and collections of a schema module", () => {
  const json = schemaJson({ ...schema, again: schema.users, LIMIT: 7, helper: () => 1 });
  expect(json.version).toBe(1);
  expect(json.tables.map((found) => found.name)).toEqual(["users", "posts", "wide"]);
  const [users, posts] = json.tables;
  expect(users!.columns.slice(0, 6)).toEqual([
    { name: "id", type: "integer", notNull: true, primaryKey: true, autoincrement: false, unique: null, default: null, generated: null, mode: "SQLiteInteger" },
    { name: "full_name", type: "text", notNull: true, primaryKey: false, autoincrement: false, unique: null, default: null, generated: null, mode: "SQLiteText" },
    { name: "email", type: "text", notNull: false, primaryKey: false, autoincrement: false, unique: "users_email_unique", default: null, generated: null, mode: "SQLiteText" },
    { name: "age", type: "integer", notNull: false, primaryKey: false, autoincrement: false, unique: null, default: null, generated: null, mode: "SQLiteInteger" },
    { name: "active", type: "integer", notNull: true, primaryKey: false, autoincrement: false, unique: null, default: "1", generated: null, mode: "SQLiteBoolean" },
    { name: "created_at", type: "integer", notNull: false, primaryKey: false, autoincrement: false, unique: null, default: null, generated: null, mode: "SQLiteTimestamp" },
  ]);
  expect(posts!.columns[0]).toMatchObject({ autoincrement: true });
  expect(posts!.foreignKeys).toEqual([{
    name: "posts_author_id_users_id_fk", columns: ["author_id"], foreignTable: "users", foreignColumns: ["id"],
    onDelete: "cascade", onUpdate: null,
  }]);
  expect(json.indexes).toEqual([{ name: "posts_author", table: "posts", columns: ['"author_id"'], unique: false, where: null }]);
  expect(json.views).toEqual([{ name: "adults", sql: 'select "id", "full_name" from "users" where "users"."age" >= 18' }]);
  expect(json.collections).toEqual([{
    name: "tasks", app: "todo",
    fields: [{ name: "title", type: "text", index: true }, { name: "done", type: "boolean", index: false }],
  }]);
});

test("defaults, generated columns, keys and checks are SQL without placeholders", () => {
  const day = customType<{ data: string }>({ dataType: () => "date" });
  const t = table("t", {
    a: integer("a").notNull().default(-5),
    b: text("b").default("it's"),
    c: integer("c").default(sql`(unixepoch())`),
    d: integer("d").default(sql`unixepoch()`),
    e: text("e").default(sql`CURRENT_TIMESTAMP`),
    f: text("f", { mode: "json" }).default({ x: 1 }),
    g: integer("g", { mode: "timestamp" }).default(new Date(5000)),
    h: real("h").generatedAlwaysAs(sql`a * ${2}`, { mode: "stored" }),
    i: numeric("i"),
    j: day("j"),
    k: integer("k").default(sql`(1) + (2)`),
    l: text("l", { length: 5 }).default(sql`null`),
  }, (c) => [
    primaryKey({ columns: [c.a, c.b] }), unique("uq").on(c.c, c.d), check("positive", sql`${c.a} > ${0}`),
    foreignKey({ columns: [c.c], foreignColumns: [c.a], name: "own" }).onUpdate("restrict"),
    uniqueIndex("low").on(sql`lower(${c.b})`).where(sql`${c.a} > ${3}`), index("two").on(c.a, c.b),
  ]);
  const json = schemaJson({ t, v: sqliteView("v", { a: integer("a") }).as(sql`select a from t where b = ${"x'y"}`), w: sqliteView("w", {}).existing() });
  const [found] = json.tables;
  expect(found!.columns.map((column) => column.default)).toEqual([
    "-5", "'it''s'", "(unixepoch())", "(unixepoch())", "CURRENT_TIMESTAMP", `'{"x":1}'`, "5", null, null, null, "((1) + (2))", "null",
  ]);
  expect(found!.columns.map((column) => column.type)).toEqual([
    "integer", "text", "integer", "integer", "text", "text", "integer", "real", "numeric", "numeric", "integer", "text",
  ]);
  expect(found!.columns[7]!.generated).toEqual({ as: "a * 2", mode: "stored" });
  expect(found!.primaryKey).toEqual({ name: "t_a_b_pk", columns: ["a", "b"] });
  expect(found!.uniques).toEqual([{ name: "uq", columns: ["c", "d"] }]);
  expect(found!.checks).toEqual([{ name: "positive", value: '"t"."a" > 0' }]);
  expect(found!.foreignKeys).toEqual([
    { name: "own", columns: ["c"], foreignTable: "t", foreignColumns: ["a"], onDelete: null, onUpdate: "restrict" },
  ]);
  expect(json.indexes).toEqual([
    { name: "low", table: "t", columns: ['lower("b")'], unique: true, where: '"a" > 3' },
    { name: "two", table: "t", columns: ['"a"', '"b"'], unique: false, where: null },
  ]);
  expect(json.views).toEqual([{ name: "v", sql: "select a from t where b = 'x''y'" }]);
});
