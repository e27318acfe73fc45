import { entityKind, is, SQL, sql } from "drizzle-orm";
import { QueryBuilder } from "drizzle-orm/sqlite-core";
import { Param, Placeholder } from "drizzle-orm/sql";
import { isCollection, ownerOf } from "../collection.ts";
import { haveSameKeys, mapUpdateSet, orderSelectedFields, Table } from "./drizzle.ts";
import { guardInsert, guardPrepare } from "./guard.ts";
import { compileMapping, expressionDecoders, type Mapping, type Selected } from "./mapping.ts";
import type { Method, Prepared } from "./prepared.ts";
import { type Built, Runnable } from "./runnable.ts";
import type { Session } from "./session.ts";
import { type InsertColumn, tableInfo } from "./table-info.ts";

type Row = Record<string, any>;

export class InsertBuilder {
  static readonly [entityKind]: string = "SQLiteInsertBuilder";
  private readonly session: Session;
  private readonly table: any;
  private readonly withList: any[] | undefined;

  constructor(session: Session, table: any, withList?: any[]) {
    this.session = session;
    this.table = table;
    this.withList = withList;
  }

  values(values: Row | Row[]): Insert {
    const rows = Array.isArray(values) ? values : [values];
    if (rows.length === 0) throw new Error("values() must be called with at least one value");
    return new Insert(this.session, this.table, rows, undefined, this.withList);
  }

  select(query: any): Insert {
    const select = typeof query === "function" ? query(new QueryBuilder()) : query;
    if (!is(select, SQL) && !haveSameKeys(this.table[Table.Symbol.Columns], select._.selectedFields)) {
      throw new Error(
        "Insert select error: selected fields are not the same or are in a different order compared to the table definition",
      );
    }
    return new Insert(this.session, this.table, [], select, this.withList);
  }
}

export class Insert extends Runnable {
  static readonly [entityKind]: string = "SQLiteInsert";
  private readonly table: any;
  private readonly rows: Row[];
  private readonly select: any;
  private readonly withList: any[] | undefined;
  private onConflict: SQL[] = [];
  private returned: Selected[] | undefined;

  constructor(session: Session, table: any, rows: Row[], select: any, withList: any[] | undefined) {
    super(session, session.dialect);
    this.table = table;
    this.rows = rows;
    this.select = select;
    this.withList = withList;
    this.builtFor("insert", table);
  }

  returning(fields?: object): this {
    this.returned = fields ? orderSelectedFields(fields) : tableInfo(this.table, this.dialect).allSelected;
    return this;
  }

  onConflictDoNothing(config: { target?: any; where?: SQL } = {}): this {
    this.refuseUpsert();
    const target = config.target === undefined ? sql`` : sql`${targetList(config.target)} `;
    const where = config.where ? sql` where ${config.where}` : sql``;
    this.onConflict.push(sql` on conflict ${target}do nothing${where}`);
    return this;
  }

  onConflictDoUpdate(config: { target: any; set: object; where?: SQL; targetWhere?: SQL; setWhere?: SQL }): this {
    this.refuseUpsert();
    if (config.where && (config.targetWhere || config.setWhere)) {
      throw new Error(
        'You cannot use both "where" and "targetWhere"/"setWhere" at the same time - "where" is deprecated, use "targetWhere" or "setWhere" instead.',
      );
    }
    const clause = (where: SQL | undefined) => (where ? sql` where ${where}` : undefined);
    const set = (this.dialect as any).buildUpdateSet(this.table, mapUpdateSet(this.table, config.set));
    this.onConflict.push(
      sql` on conflict ${targetList(config.target)}${clause(config.targetWhere)} do update set ${set}${clause(config.where)}${
        clause(config.setWhere)}`,
    );
    return this;
  }

  /** SQLite has no UPSERT for views (FUN-83). */
  private refuseUpsert(): void {
    if (!isCollection(this.table)) return;
    const name = this.table[Table.Symbol.Name];
    throw new Error(
      `onConflict… does not work on the collection "${name}", which is a view. `
        + `Use ctx.records.put("${name}", id, fields): it makes the record or changes it.`,
    );
  }

  protected defaultMethod(): Method {
    return this.returned ? "all" : "run";
  }

  override prepare(): Prepared {
    guardPrepare(this.session, "inserts");
    return super.prepare();
  }

  getSQL(): SQL {
    this.meant();
    const columns = this.table[Table.Symbol.Columns];
    const values = this.rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) =>
      [key, is(value, SQL) || is(value, Param) ? value : new Param(value, columns[key])])));
    return (this.dialect as any).buildInsertQuery({
      table: this.table,
      values: this.select ?? values,
      select: Boolean(this.select),
      onConflict: this.onConflict,
      returning: this.returned,
      withList: this.withList,
    });
  }

  protected build(): Built {
    this.meant();
    guardInsert(this.session, this.rows.length, 0);
    const { text, params } = this.text();
    guardInsert(this.session, this.rows.length, params.length);
    const returned = this.returned;
    return {
      sql: text,
      params,
      mapping: returned && returningMapping(returned),
      expressions: returned ? expressionDecoders(returned) : [],
    };
  }

  private text(): { text: string; params: unknown[] } {
    const params: unknown[] = [];
    const part = (query: SQL | undefined): string => {
      if (!query) return "";
      const built = this.session.build(query);
      for (const param of built.params) params.push(param);
      return built.sql;
    };
    const dialect = this.dialect as any;
    const { table, returned } = this;
    let text = part(dialect.buildWithCTE(this.withList));
    text += this.select ? this.selectText(part) : this.valuesText(params, part);
    for (const clause of this.onConflict) text += part(clause);
    if (returned) {
      const info = tableInfo(table, dialect);
      text += returned === info.allSelected
        ? info.returningText
        : part(sql` returning ${dialect.buildSelection(returned, { isSingleTable: true })}`);
    }
    return { text, params };
  }

  private selectText(part: (query: SQL) => string): string {
    const info = tableInfo(this.table, this.dialect);
    return `${info.insertHead(info.columns)} ${part(is(this.select, SQL) ? this.select : this.select.getSQL())}`;
  }

  private valuesText(params: unknown[], part: (query: SQL) => string): string {
    const info = tableInfo(this.table, this.dialect);
    const rows = isCollection(this.table) ? this.rows.map((row) => ownerOf(this.session.call, this.table, row)) : this.rows;
    const columns = isCollection(this.table) ? info.columns.filter((column) => isGiven(column, rows)) : info.columns;
    let text = `${info.insertHead(columns)} values `;
    for (let i = 0; i < rows.length; i++) {
      text += i === 0 ? "(" : ", (";
      const row = rows[i]!;
      for (let c = 0; c < columns.length; c++) {
        if (c > 0) text += ", ";
        text += cell(columns[c]!, row[columns[c]!.key], params, part);
      }
      text += ")";
    }
    return text;
  }
}

/** Columns of a collection that no row has are left out, so that its triggers see what was written. */
function isGiven(column: InsertColumn, rows: readonly Row[]): boolean {
  return column.fallback !== "null" || rows.some((row) => row[column.key] !== undefined);
}

/** One value: `?`, or the text of an expression. */
function cell(column: InsertColumn, value: any, params: unknown[], part: (query: SQL) => string): string {
  if (value === undefined || (is(value, Param) && value.value === undefined)) {
    if (column.fallback === "null") return "null";
    value = column.fallback();
    if (value === undefined) return "null";
  }
  if (value === null) {
    params.push(null);
    return "?";
  }
  if (typeof value === "object") {
    if (is(value, SQL)) return part(value);
    if (is(value, Placeholder)) {
      params.push(new Param(value, column.encoder));
      return "?";
    }
    if (is(value, Param)) return part(sql`${value}`);
  }
  const mapped = column.isPlain ? value : column.encoder.mapToDriverValue(value);
  if (mapped !== null && typeof mapped === "object" && is(mapped, SQL)) return part(mapped);
  params.push(mapped);
  return "?";
}

function targetList(target: any): SQL {
  return Array.isArray(target) ? sql`${target}` : sql`${[target]}`;
}

const returningMappings = new WeakMap<object, Mapping>();

export function returningMapping(returned: Selected[]): Mapping {
  let mapping = returningMappings.get(returned);
  if (!mapping) returningMappings.set(returned, mapping = compileMapping(returned));
  return mapping;
}
