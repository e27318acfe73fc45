// How rows of a query become what drizzle answers with.
import { Column, getTableName, is, SQL } from "drizzle-orm";
import { noopDecoder } from "drizzle-orm/sql";
import type { RowMode } from "../host.ts";
import type { Decoder } from "./fingerprint.ts";

/** A selected field, as drizzle lists them. */
export interface Selected {
  path: string[];
  field: any;
}

interface Decoded {
  index: number;
  key: string;
  /** `undefined`: of the query that runs, in the order of its expressions. */
  decoder: Decoder | undefined;
}

/** `keys`: every field stands at the top, so that the host makes the objects and only `decoded` columns are touched. */
export interface Mapping {
  keys: string[] | undefined;
  /** Whether the keys are what SQL names the columns. */
  isNamed: boolean;
  decoded: Decoded[];
  nested: NestedColumn[];
  nullable: string[];
}

interface NestedColumn {
  path: string[];
  decoder: Decoder | undefined;
  isDynamic: boolean;
  tableName: string | undefined;
}

function decoderOf(field: any): { decoder: Decoder | undefined; isDynamic: boolean } {
  if (is(field, Column)) {
    const isPlain = field.mapFromDriverValue === Column.prototype.mapFromDriverValue;
    return { decoder: isPlain ? undefined : field, isDynamic: false };
  }
  if (is(field, SQL) || is(field, SQL.Aliased)) return { decoder: undefined, isDynamic: true };
  const { decoder } = (field as any)._.sql;
  return { decoder: decoder === noopDecoder ? undefined : decoder, isDynamic: false };
}

/** Decoders of the expressions among fields; the order is that of `Fingerprint.decoders`. */
export function expressionDecoders(fields: readonly Selected[]): (Decoder | undefined)[] {
  const decoders: (Decoder | undefined)[] = [];
  for (const { field } of fields) {
    const sql: any = is(field, SQL) ? field : is(field, SQL.Aliased) ? field.sql : undefined;
    if (sql) decoders.push(sql.decoder === noopDecoder ? undefined : sql.decoder);
  }
  return decoders;
}

export function compileMapping(fields: readonly Selected[], joinsNotNullable?: Record<string, boolean>): Mapping {
  const columns = fields.map(({ path, field }): NestedColumn => ({
    path,
    ...decoderOf(field),
    tableName: is(field, Column) && path.length === 2 ? getTableName((field as any).table) : undefined,
  }));
  const keys = columns.map((column) => column.path[0]!);
  const isFlat = columns.every((column) => column.path.length === 1) && new Set(keys).size === keys.length
    && !keys.includes("__proto__");
  const decoded = columns.flatMap(({ decoder, isDynamic }, index) =>
    decoder || isDynamic ? [{ index, key: keys[index]!, decoder }] : []);
  const isNamed = fields.every(({ path, field }) => path[0] === sqlName(field));
  return { keys: isFlat ? keys : undefined, isNamed, decoded, nested: columns, nullable: nullableObjects(columns, joinsNotNullable) };
}

function sqlName(field: any): string | undefined {
  if (is(field, SQL.Aliased)) return field.fieldAlias;
  return is(field, Column) && field.columnType !== "SQLiteNumericBigInt" ? field.name : undefined;
}

/** In which form the host is asked for rows. */
export function rowMode(mapping: Mapping, isKeyed: boolean | undefined): RowMode {
  if (!mapping.keys) return 0;
  if (isKeyed) return mapping.keys;
  return mapping.isNamed ? 1 : 0;
}

/** Objects of joined tables that become `null` if all their columns are. */
function nullableObjects(columns: readonly NestedColumn[], joinsNotNullable?: Record<string, boolean>): string[] {
  if (!joinsNotNullable) return [];
  const tables = new Map<string, string | false>();
  for (const { path, tableName } of columns) {
    if (tableName === undefined) continue;
    const seen = tables.get(path[0]!);
    tables.set(path[0]!, seen === undefined || seen === tableName ? tableName : false);
  }
  return [...tables].flatMap(([name, table]) => (typeof table === "string" && !joinsNotNullable[table] ? [name] : []));
}

/** Rows that came as objects: decodes in place. */
export function decodeObjects(mapping: Mapping, rows: any[], expressions: readonly (Decoder | undefined)[]): any[] {
  let dynamic = 0;
  for (const { key, decoder: own } of mapping.decoded) {
    const decoder = own ?? expressions[dynamic++];
    if (!decoder) continue;
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i];
      const value = row[key];
      if (value !== null) row[key] = decoder.mapFromDriverValue(value);
    }
  }
  return rows;
}

/** Rows that came as arrays: builds nested objects. */
export function mapArrays(mapping: Mapping, rows: any[][], expressions: readonly (Decoder | undefined)[]): any[] {
  let dynamic = 0;
  const decoders = mapping.nested.map((column) => (column.isDynamic ? expressions[dynamic++] : column.decoder));
  return rows.map((row) => mapArray(mapping, row, decoders));
}

function mapArray({ nested, nullable }: Mapping, row: any[], decoders: readonly (Decoder | undefined)[]): any {
  const result: any = {};
  for (let i = 0; i < nested.length; i++) {
    const { path } = nested[i]!;
    const raw = row[i];
    const value = raw === null || !decoders[i] ? raw : decoders[i]!.mapFromDriverValue(raw);
    let node = result;
    for (let depth = 0; depth < path.length - 1; depth++) node = node[path[depth]!] ??= {};
    node[path[path.length - 1]!] = value;
  }
  for (const name of nullable) {
    if (isAllNull(nested, row, name)) result[name] = null;
  }
  return result;
}

function isAllNull(nested: readonly NestedColumn[], row: any[], name: string): boolean {
  for (let i = 0; i < nested.length; i++) {
    const column = nested[i]!;
    if (column.tableName !== undefined && column.path[0] === name && row[i] !== null) return false;
  }
  return true;
}
