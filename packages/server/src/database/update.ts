import { entityKind, is, Param, SQL, Subquery } from "drizzle-orm";
import { SQLiteTable } from "drizzle-orm/sqlite-core";
import { getTableLikeName, mapUpdateSet, SelectionProxyHandler, SQLiteViewBase, Table, ViewBaseConfig } from "./drizzle.ts";
import { Filtered } from "./filtered.ts";
import type { Fingerprint } from "./fingerprint.ts";
import type { Session } from "./session.ts";

export class UpdateBuilder {
  static readonly [entityKind]: string = "SQLiteUpdateBuilder";
  private readonly session: Session;
  private readonly table: any;
  private readonly withList: any[] | undefined;

  constructor(session: Session, table: any, withList?: any[]) {
    this.session = session;
    this.table = table;
    this.withList = withList;
  }

  set(values: object): Update {
    return new Update(this.session, this.table, mapUpdateSet(this.table, values), this.withList);
  }
}

interface Join {
  on: any;
  table: any;
  joinType: string;
  alias: string | undefined;
}

export class Update extends Filtered {
  static readonly [entityKind]: string = "SQLiteUpdate";
  private readonly assignments: Record<string, any>;
  private source: any;
  private joins: Join[] = [];

  constructor(session: Session, table: any, assignments: Record<string, any>, withList: any[] | undefined) {
    super(session, "update", table, withList);
    this.assignments = assignments;
  }

  from(source: any): this {
    this.source = source;
    return this;
  }

  private join(joinType: string, table: any, on: any): this {
    const alias = getTableLikeName(table);
    if (alias !== undefined && this.joins.some((join) => join.alias === alias)) {
      throw new Error(`Alias "${alias}" is already used in this query`);
    }
    if (typeof on === "function") {
      const fields = this.source ? fieldsOf(table) : undefined;
      on = on(proxied(this.table[Table.Symbol.Columns]), fields && proxied(fields));
    }
    this.joins.push({ on, table, joinType, alias });
    return this;
  }

  leftJoin(table: any, on: any): this {
    return this.join("left", table, on);
  }

  rightJoin(table: any, on: any): this {
    return this.join("right", table, on);
  }

  innerJoin(table: any, on: any): this {
    return this.join("inner", table, on);
  }

  fullJoin(table: any, on: any): this {
    return this.join("full", table, on);
  }

  /** In the table's order of columns, which is drizzle's. */
  protected printHead(print: Fingerprint): boolean {
    if (this.source || this.joins.length > 0) return false;
    const columns = this.table[Table.Symbol.Columns];
    for (const key of Object.keys(columns)) {
      const column = columns[key];
      let value = this.assignments[key];
      if (value === undefined) {
        const made = column.onUpdateFn?.();
        if (made === undefined) continue;
        value = this.assignments[key] = is(made, SQL) ? made : new Param(made, column);
      }
      print.key += "\x01k" + key;
      if (!print.chunk(value)) return false;
    }
    return true;
  }

  getSQL(): SQL {
    this.meant();
    return (this.dialect as any).buildUpdateQuery({
      table: this.table,
      set: this.assignments,
      where: this.condition,
      returning: this.returned,
      withList: this.withList,
      joins: this.joins,
      from: this.source,
      limit: this.limitValue,
      orderBy: this.order,
    });
  }
}

function fieldsOf(table: any): any {
  if (is(table, SQLiteTable)) return (table as any)[Table.Symbol.Columns];
  if (is(table, Subquery)) return (table as any)._.selectedFields;
  return is(table, SQLiteViewBase) ? (table as any)[ViewBaseConfig].selectedFields : undefined;
}

function proxied(fields: any): any {
  return new Proxy(fields, new SelectionProxyHandler({ sqlAliasedBehavior: "sql", sqlBehavior: "sql" }));
}
