// The schema of a program as the hub plans migrations with it.
import { is, SQL, sql, Table, View } from "drizzle-orm";
import { getTableConfig, getViewConfig, SQLiteSyncDialect, SQLiteTable } from "drizzle-orm/sqlite-core";
import { type Collection, collectionOf, IMPLIED_NAMES } from "../collection.ts";

const dialect = new SQLiteSyncDialect();

/** An expression as text, values inlined. */
function text(expression: SQL, invokeSource?: "indexes"): string {
  return dialect.sqlToQuery(sql`${expression}`.inlineParams(), invokeSource).sql;
}

function literal(value: unknown): string {
  if (value === null) return "NULL";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (typeof value === "boolean") return value ? "1" : "0";
  if (value instanceof Uint8Array) return `X'${[...value].map((byte) => byte.toString(16).padStart(2, "0")).join("")}'`;
  return `'${String(value).replaceAll("'", "''")}'`;
}

/** Only literals and `CURRENT_…` may stand without parentheses. */
function defaultOf(column: any): string | null {
  const value: unknown = column.default;
  if (value === undefined) return null;
  if (!is(value, SQL)) return literal(value === null ? null : column.mapToDriverValue(value));
  const expression = text(value).trim();
  const isBare = /^(?:\(.*\)|current_(?:timestamp|date|time)|null|true|false|[+-]?\d+(?:\.\d+)?|'(?:[^']|'')*')$/is.test(expression);
  return isBare && !isSplit(expression) ? expression : `(${expression})`;
}

/** `(a) + (b)` begins and ends with parentheses that are not one pair. */
function isSplit(expression: string): boolean {
  if (!expression.startsWith("(")) return false;
  let depth = 0;
  for (let i = 0; i < expression.length; i++) {
    if (expression[i] === "(") depth += 1;
    if (expression[i] === ")" && --depth === 0) return i < expression.length - 1;
  }
  return true;
}

/** By SQLite's rules of affinity. */
function affinity(sqlType: string): "integer" | "text" | "blob" | "real" | "numeric" {
  const type = sqlType.toUpperCase();
  if (type.includes("INT")) return "integer";
  if (/CHAR|CLOB|TEXT/.test(type)) return "text";
  if (type === "" || type.includes("BLOB")) return "blob";
  return /REAL|FLOA|DOUB/.test(type) ? "real" : "numeric";
}

function columnJson(column: any) {
  const { generated } = column;
  const as = typeof generated?.as === "function" ? generated.as() : generated?.as;
  return {
    name: column.name,
    type: affinity(column.getSQLType()),
    notNull: Boolean(column.notNull),
    primaryKey: Boolean(column.primary),
    autoincrement: Boolean(column.autoIncrement),
    unique: column.isUnique ? column.uniqueName : null,
    default: defaultOf(column),
    generated: generated ? { as: is(as, SQL) ? text(as) : String(as), mode: generated.mode ?? "virtual" } : null,
    mode: column.columnType,
  };
}

const names = (columns: readonly any[]): string[] => columns.map((column) => column.name);

function tableJson(table: SQLiteTable) {
  const config = getTableConfig(table);
  const [primaryKey] = config.primaryKeys;
  return {
    name: config.name,
    columns: config.columns.map(columnJson),
    primaryKey: primaryKey ? { name: primaryKey.getName(), columns: names(primaryKey.columns) } : null,
    uniques: config.uniqueConstraints.map((unique) => ({ name: unique.getName(), columns: names(unique.columns) })),
    foreignKeys: config.foreignKeys.map((key) => {
      const { columns, foreignColumns, foreignTable } = key.reference();
      return {
        name: key.getName(),
        columns: names(columns),
        foreignTable: (foreignTable as any)[(Table as any).Symbol.Name],
        foreignColumns: names(foreignColumns),
        onDelete: key.onDelete ?? null,
        onUpdate: key.onUpdate ?? null,
      };
    }),
    checks: config.checks.map((check) => ({ name: check.name, value: text(check.value) })),
  };
}

function indexesJson(table: SQLiteTable) {
  const config = getTableConfig(table);
  return config.indexes.map(({ config: index }) => ({
    name: index.name,
    table: config.name,
    columns: index.columns.map((column: any) => (is(column, SQL) ? text(column, "indexes") : dialect.escapeName(column.name))),
    unique: index.unique,
    where: index.where ? text(index.where, "indexes") : null,
  }));
}

function viewJson(view: any) {
  const { name, query, isExisting } = getViewConfig(view);
  return isExisting || !query ? [] : [{ name, sql: text(query) }];
}

function fieldType(column: any): string {
  if (column.columnType === "SQLiteBoolean") return "boolean";
  if (column.columnType === "SQLiteTextJson") return "json";
  return affinity(column.getSQLType());
}

function collectionJson({ name, app, table, indexedKeys }: Collection) {
  const columns = Object.entries<any>(table[(Table as any).Symbol.Columns]).filter(([key]) => !IMPLIED_NAMES.includes(key));
  return {
    name,
    app,
    fields: columns.map(([key, column]) => ({ name: column.name, type: fieldType(column), index: indexedKeys.has(key) })),
  };
}

/** What a schema module exports; exports that are no tables, views or collections are passed over. */
export function schemaJson(schema: Record<string, unknown>) {
  const values = [...new Set(Object.values(schema))];
  const collections = values.flatMap((value) => (value && typeof value === "object" ? collectionOf(value) ?? [] : []));
  const tables = values.filter((value): value is SQLiteTable => is(value, SQLiteTable) && !collectionOf(value));
  return {
    version: 1,
    tables: tables.map(tableJson),
    indexes: tables.flatMap(indexesJson),
    views: values.filter((value) => is(value, View)).flatMap(viewJson),
    collections: collections.map(collectionJson),
  };
}
