// drizzle's select builder with guards, cheap to make: its own makes thirteen closures for each query.
import { entityKind, getTableColumns, is, SQL, StringChunk, Subquery, View } from "drizzle-orm";
import {
  extractUsedTable, getTableLikeName, haveSameKeys, orderSelectedFields, SelectionProxyHandler, setOperators, SQLiteViewBase,
  Table, ViewBaseConfig,
} from "./drizzle.ts";
import { Fingerprint, isNamed } from "./fingerprint.ts";
import { clampLimit, limitParam, warnIfFull } from "./guard.ts";
import { compileMapping, expressionDecoders, type Selected } from "./mapping.ts";
import { planned } from "./plans.ts";
import type { Method } from "./prepared.ts";
import { type Built, Runnable } from "./runnable.ts";
import type { Session } from "./session.ts";

type Fields = Record<string, any>;

interface Join {
  on: any;
  table: any;
  joinType: string;
  alias: string | undefined;
}

interface SetOperator {
  type: string;
  isAll: boolean;
  rightSelect: any;
  orderBy?: any[];
  limit?: any;
  offset?: any;
}

export class SelectBuilder {
  static readonly [entityKind]: string = "SQLiteSelectBuilder";
  private readonly session: Session;
  private readonly fields: Fields | undefined;
  private readonly withList: any[] | undefined;
  private readonly distinct: boolean;

  constructor(session: Session, fields?: Fields, withList?: any[], distinct = false) {
    this.session = session;
    this.fields = fields;
    this.withList = withList;
    this.distinct = distinct;
  }

  from(source: any): Select {
    return new Select(this.session, source, this.fields, this.withList, this.distinct);
  }
}

export class Select extends Runnable {
  static readonly [entityKind]: string = "SQLiteSelect";
  private readonly table: any;
  private readonly partial: Fields | undefined;
  private readonly withList: any[] | undefined;
  private readonly distinct: boolean;
  private selected: Fields | undefined;
  private joins: Join[] | undefined;
  private condition: any;
  private havingCondition: any;
  private groups: any[] | undefined;
  private order: any[] | undefined;
  private limitValue: any;
  private offsetValue: any;
  private setOperators: SetOperator[] = [];
  private notNullable: Record<string, boolean> | undefined;

  constructor(session: Session, table: any, partial: Fields | undefined, withList: any[] | undefined, distinct: boolean) {
    super(session, session.dialect);
    this.table = table;
    this.partial = partial;
    this.withList = withList;
    this.distinct = distinct;
  }

  /** Made when it is first asked for: a query whose plan is known needs none. */
  private get fields(): Fields {
    return this.selected ??= this.partial ?? fieldsOf(this.table);
  }

  private get tableName(): string | undefined {
    return getTableLikeName(this.table);
  }

  private get joinsNotNullableMap(): Record<string, boolean> {
    const name = this.tableName;
    return this.notNullable ??= name === undefined ? {} : { [name]: true };
  }

  /** drizzle reads what is selected here. */
  get _(): { selectedFields: Fields; config: Fields } {
    return { selectedFields: this.fields, config: { table: this.table, fields: this.fields, joins: this.joins } };
  }

  private proxied(sqlAliasedBehavior: "sql" | "alias"): Fields {
    return new Proxy(this.fields, new SelectionProxyHandler({ sqlAliasedBehavior, sqlBehavior: "sql" }));
  }

  private join(joinType: string, table: any, on?: any): this {
    const base = this.tableName;
    const name: string | undefined = getTableLikeName(table);
    const notNullable = this.joinsNotNullableMap;
    if (name !== undefined && this.joins?.some((join) => join.alias === name)) {
      throw new Error(`Alias "${name}" is already used in this query`);
    }
    if (!this.partial) this.addFields(base, name, table, Object.keys(notNullable).length === 1);
    if (typeof on === "function") on = on(this.proxied("sql"));
    (this.joins ??= []).push({ on, table, joinType, alias: name });
    if (name === undefined) return this;
    if (joinType === "right" || joinType === "full") {
      for (const key of Object.keys(notNullable)) notNullable[key] = false;
    }
    notNullable[name] = joinType !== "left" && joinType !== "full";
    return this;
  }

  private addFields(base: string | undefined, name: string | undefined, table: any, isFirst: boolean): void {
    const fields = this.fields;
    const nested = isFirst && base !== undefined ? { [base]: fields } : { ...fields };
    if (name !== undefined && !is(table, SQL)) {
      nested[name] = is(table, Subquery)
        ? (table as any)._.selectedFields
        : is(table, View) ? (table as any)[ViewBaseConfig].selectedFields : table[Table.Symbol.Columns];
    }
    this.selected = nested;
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

  crossJoin(table: any): this {
    return this.join("cross", table);
  }

  private combine(type: string, isAll: boolean, other: any): this {
    const rightSelect = typeof other === "function" ? other(setOperators) : other;
    if (!haveSameKeys(this.getSelectedFields(), rightSelect.getSelectedFields())) {
      throw new Error(
        "Set operator error (union / intersect / except): selected fields are not the same or are in a different order",
      );
    }
    this.setOperators.push({ type, isAll, rightSelect });
    return this;
  }

  union(other: any): this {
    return this.combine("union", false, other);
  }

  unionAll(other: any): this {
    return this.combine("union", true, other);
  }

  intersect(other: any): this {
    return this.combine("intersect", false, other);
  }

  except(other: any): this {
    return this.combine("except", false, other);
  }

  /** drizzle's `union(left, right)` calls this. */
  addSetOperators(operators: SetOperator[]): this {
    this.setOperators.push(...operators);
    return this;
  }

  where(where: any): this {
    this.condition = typeof where === "function" ? where(this.proxied("sql")) : where;
    return this;
  }

  having(having: any): this {
    this.havingCondition = typeof having === "function" ? having(this.proxied("sql")) : having;
    return this;
  }

  groupBy(...columns: any[]): this {
    this.groups = this.listed(columns);
    return this;
  }

  orderBy(...columns: any[]): this {
    const order = this.listed(columns);
    const operator = this.setOperators.at(-1);
    if (operator) operator.orderBy = order;
    else this.order = order;
    return this;
  }

  private listed(columns: any[]): any[] {
    if (typeof columns[0] !== "function") return columns;
    const list = columns[0](this.proxied("alias"));
    return Array.isArray(list) ? list : [list];
  }

  limit(limit: any): this {
    const operator = this.setOperators.at(-1);
    if (operator) operator.limit = limit;
    else this.limitValue = limit;
    return this;
  }

  offset(offset: any): this {
    const operator = this.setOperators.at(-1);
    if (operator) operator.offset = offset;
    else this.offsetValue = offset;
    return this;
  }

  getSelectedFields(): Fields {
    return new Proxy(
      this.fields,
      new SelectionProxyHandler({
        ...(this.tableName === undefined ? {} : { alias: this.tableName }),
        sqlAliasedBehavior: "alias",
        sqlBehavior: "error",
      }),
    );
  }

  getUsedTables(): string[] {
    const tables = [this.table, ...(this.joins ?? []).map((join) => join.table)];
    return [...new Set(tables.flatMap((table) => extractUsedTable(table)))];
  }

  as(alias: string): any {
    return new Proxy(
      new Subquery(this.getSQL(), this.fields, alias, false, this.getUsedTables()),
      new SelectionProxyHandler({ alias, sqlAliasedBehavior: "alias", sqlBehavior: "error" }),
    );
  }

  $withCache(): this {
    return this;
  }

  /** As a part of another query, where no guard applies. */
  getSQL(): SQL {
    return this.sqlWithLimit(this.limitValue, this.setOperators);
  }

  private sqlWithLimit(limit: any, setOperators: SetOperator[]): SQL {
    return (this.dialect as any).buildSelectQuery({
      withList: this.withList,
      fields: this.fields,
      table: this.table,
      joins: this.joins,
      where: this.condition,
      having: this.havingCondition,
      groupBy: this.groups,
      orderBy: this.order,
      limit,
      offset: this.offsetValue,
      distinct: this.distinct,
      setOperators,
    });
  }

  protected defaultMethod(): Method {
    return "all";
  }

  protected override counted(rowCount: number): void {
    if (this.session.guarded) warnIfFull(this.session, rowCount);
  }

  protected build(method: Method): Built {
    const limit = this.guardedLimit(method);
    const print = this.fingerprint(limit);
    return print ? planned(print, () => this.buildWithDrizzle(limit)) : this.buildWithDrizzle(limit);
  }

  /** What limits the whole query: of the last set operator, if there is one. */
  private guardedLimit(method: Method): any {
    const { session } = this;
    const operator = this.setOperators.at(-1);
    const limit = operator ? operator.limit : this.limitValue;
    if (!session.guarded) return limit;
    if (limit !== null && typeof limit === "object") {
      return is(limit, SQL) ? new SQL([new StringChunk("max(0, min(1000, ("), limit as any, new StringChunk(")))")]) : limitParam(session, limit);
    }
    const rows = clampLimit(session, limit);
    return method === "get" && rows > 1 ? 1 : rows;
  }

  private buildWithDrizzle(limit: any): Built {
    const operators = this.setOperators;
    const last = operators.at(-1);
    const query = last
      ? this.sqlWithLimit(this.limitValue, [...operators.slice(0, -1), { ...last, limit }])
      : this.sqlWithLimit(limit, operators);
    const { sql, params } = this.session.build(query);
    const fields: Selected[] = orderSelectedFields(this.fields);
    const mapping = compileMapping(fields, this.joinsNotNullableMap);
    return { sql, params, mapping, expressions: expressionDecoders(fields) };
  }

  /** Parts in the order in which drizzle binds what is in them. */
  private fingerprint(limit: any): Fingerprint | undefined {
    if (this.withList?.length || this.setOperators.length > 0) return undefined;
    const print = new Fingerprint(this.distinct ? "D" : "S");
    if (this.partial && !print.fields(this.partial)) return undefined;
    if (!isNamed(this.table)) return undefined;
    print.id(this.table);
    for (const join of this.joins ?? NONE) {
      if (!isNamed(join.table)) return undefined;
      print.key += "\x01j" + join.joinType;
      print.id(join.table);
      if (!print.chunk(join.on)) return undefined;
    }
    const { condition, groups, havingCondition, order } = this;
    if (condition && !(print.key += "\x01w", print.chunk(condition))) return undefined;
    if (groups && !(print.key += "\x01g", print.list(groups))) return undefined;
    if (havingCondition && !(print.key += "\x01h", print.chunk(havingCondition))) return undefined;
    if (order && !(print.key += "\x01o", print.list(order))) return undefined;
    if (limit !== undefined && !(print.key += "\x01l", this.printLimit(print, limit))) return undefined;
    if (this.offsetValue && !(print.key += "\x01O", print.chunk(this.offsetValue))) return undefined;
    return print;
  }

  private printLimit(print: Fingerprint, limit: any): boolean {
    if (typeof limit !== "number" || !(limit >= 0)) return false;
    return print.chunk(limit);
  }
}

const NONE: readonly Join[] = [];

function fieldsOf(source: any): Fields {
  if (is(source, Subquery)) {
    return Object.fromEntries(Object.keys((source as any)._.selectedFields).map((key) => [key, (source as any)[key]]));
  }
  if (is(source, SQLiteViewBase)) return (source as any)[ViewBaseConfig].selectedFields;
  if (is(source, SQL)) return {};
  return getTableColumns(source);
}
