import { Column, is, SQL } from "drizzle-orm";
import { orderSelectedFields, Table } from "./drizzle.ts";
import type { Selected } from "./mapping.ts";

export interface InsertColumn {
  /** Its name in the program. */
  key: string;
  /** Its name in SQL, quoted. */
  quoted: string;
  encoder: { mapToDriverValue(value: any): any };
  /** Whether values go to SQL as they are. */
  isPlain: boolean;
  /** What a row without a value gets. */
  fallback: "null" | (() => any);
}

/** What inserts need to know of a table, found out once. */
export interface TableInfo {
  columns: InsertColumn[];
  allSelected: Selected[];
  returningText: string;
  insertHead(columns: readonly InsertColumn[]): string;
}

const infos = new WeakMap<object, TableInfo>();

export function tableInfo(table: any, dialect: any): TableInfo {
  let info = infos.get(table);
  if (!info) infos.set(table, info = describe(table, dialect));
  return info;
}

function describe(table: any, dialect: any): TableInfo {
  const fields: Record<string, any> = table[Table.Symbol.Columns];
  const columns = Object.entries(fields)
    .filter(([, column]) => !column.shouldDisableInsert())
    .map(([key, column]): InsertColumn => ({
      key,
      quoted: dialect.escapeName(dialect.casing.getColumnCasing(column)),
      encoder: column,
      isPlain: column.mapToDriverValue === Column.prototype.mapToDriverValue,
      fallback: fallbackOf(column),
    }));
  const allSelected: Selected[] = orderSelectedFields(fields);
  const selection = dialect.sqlToQuery(dialect.buildSelection(allSelected, { isSingleTable: true })).sql;
  const name = dialect.sqlToQuery(table.getSQL()).sql;
  const head = (list: readonly InsertColumn[]): string =>
    `insert into ${name} (${list.map((column) => column.quoted).join(", ")})`;
  const headOfAll = head(columns);
  return {
    columns,
    allSelected,
    returningText: ` returning ${selection}`,
    insertHead: (list) => (list === columns ? headOfAll : head(list)),
  };
}

/** As drizzle chooses: the default, then what makes one, then what makes one for updates. */
function fallbackOf(column: any): "null" | (() => any) {
  if (column.default !== null && column.default !== undefined) {
    const value = column.default;
    return is(value, SQL) ? () => value : () => value;
  }
  if (column.defaultFn !== undefined) return column.defaultFn;
  if (!column.default && column.onUpdateFn !== undefined) return column.onUpdateFn;
  return "null";
}
