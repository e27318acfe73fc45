import type { BuildColumns } from "drizzle-orm";
import { integer, SQLiteColumnBuilder, type SQLiteColumnBuilderBase, sqliteTable, type SQLiteTableWithColumns, text } from "drizzle-orm/sqlite-core";
import type { Call } from "./call.ts";

declare module "drizzle-orm/sqlite-core/columns/common" {
  interface SQLiteColumnBuilder {
    /** In a collection: the field gets an index (FUN-80). */
    index(): this;
  }
}

/** Fields that have an index. */
const indexed = new WeakSet<object>();

Object.defineProperty(SQLiteColumnBuilder.prototype, "index", {
  configurable: true,
  value(this: object) {
    indexed.add(this);
    return this;
  },
});

/** What stands beside a collection's own fields. */
const implied = () => ({
  _owner: text("_owner"),
  _space: text("_space"),
  _updated_at: integer("_updated_at"),
  _extra: text("_extra", { mode: "json" }).$type<Record<string, unknown>>(),
});
export const IMPLIED_NAMES: readonly string[] = ["id", "_owner", "_space", "_updated_at", "_extra"];

export interface Collection {
  name: string;
  app: string;
  table: any;
  indexedKeys: Set<string>;
}

const collections = new WeakMap<object, Collection>();

type Fields = Record<string, SQLiteColumnBuilderBase>;
type Own<T> = Omit<T, "app">;

function idBuilder() {
  return text("id").primaryKey().$defaultFn(() => crypto.randomUUID());
}

type CollectionColumns<T> = { id: ReturnType<typeof idBuilder> } & Own<T> & ReturnType<typeof implied>;

/** The table that `collection()` makes: its fields, `id`, and what every record has. */
export type CollectionTable<Name extends string, T> = SQLiteTableWithColumns<{
  name: Name;
  schema: undefined;
  columns: CollectionColumns<T> extends infer C extends Fields ? BuildColumns<Name, C, "sqlite"> : never;
  dialect: "sqlite";
}>;

/** Live records of an app's collection as a table: read and write it like one (FUN-80). */
export function collection<Name extends string, T extends { app: string }>(name: Name, description: T): CollectionTable<Name, T> {
  const { app, ...fields } = description;
  if (typeof app !== "string" || app === "") throw new Error(`collection("${name}"): \`app\` must name the app of its records.`);
  for (const key of Object.keys(fields)) {
    if (IMPLIED_NAMES.includes(key)) throw new Error(`collection("${name}"): the field "${key}" is there already.`);
  }
  const indexedKeys = new Set(Object.keys(fields).filter((key) => indexed.has((fields as any)[key])));
  const table = sqliteTable(name, { id: idBuilder(), ...(fields as unknown as Fields), ...implied() });
  collections.set(table, { name, app, table, indexedKeys });
  return table as never;
}

export function isCollection(table: object): boolean {
  return collections.has(table);
}

export function collectionOf(table: object): Collection | undefined {
  return collections.get(table);
}

/** A row with its owner, who is the caller, as his own devices are, unless one is given (FUN-83). */
export function ownerOf(call: Call, table: object, row: Record<string, any>): Record<string, any> {
  if (row["_owner"] !== undefined && row["_owner"] !== null) return row;
  const user = call.user?.["sub"];
  if (typeof user !== "string" || user === "") {
    throw new Error(`INVALID: ${collections.get(table)?.name}._owner is required for anonymous callers.`);
  }
  return { ...row, _owner: call.owner };
}
