import {
  createTableRelationsHelpers, entityKind, extractTablesRelationalConfig, type SQL, sql, TransactionRollbackError, WithSubquery,
} from "drizzle-orm";
import { QueryBuilder, SQLiteSyncDialect } from "drizzle-orm/sqlite-core";
import type { Call } from "../call.ts";
import { Delete } from "./delete.ts";
import { CountBuilder, SelectionProxyHandler } from "./drizzle.ts";
import { refuseRaw } from "./guard.ts";
import { InsertBuilder } from "./insert.ts";
import { type RelationalBuilder, relationalBuilders } from "./relational.ts";
import { SelectBuilder } from "./select.ts";
import { Session } from "./session.ts";
import { UpdateBuilder } from "./update.ts";

type Fields = Record<string, any>;
type Raw = string | { getSQL(): SQL };

const dialect = new SQLiteSyncDialect();

/** The schema of a program, with its relations: drizzle's form of it. */
export interface Schema {
  fullSchema: Record<string, unknown>;
  schema: Record<string, any>;
  tableNamesMap: Record<string, string>;
}

export function relationalSchema(fullSchema: Record<string, unknown>): Schema {
  const { tables, tableNamesMap } = extractTablesRelationalConfig(fullSchema, createTableRelationsHelpers);
  return { fullSchema, schema: tables, tableNamesMap };
}

/** `ctx.db`, or without guards `ctx.unsafeRawDb`: drizzle's `durable-sqlite` over the hub's binding (FUN-06). */
export class Database {
  static readonly [entityKind]: string = "BaseSQLiteDatabase";
  readonly resultKind = "sync";
  readonly dialect = dialect;
  readonly session: Session;
  readonly _: Schema;
  private relational: Record<string, RelationalBuilder> | undefined;

  constructor(session: Session, schema: Schema) {
    this.session = session;
    this._ = schema;
  }

  get query(): Record<string, RelationalBuilder> {
    return this.relational ??= relationalBuilders(this.session, this._);
  }

  get $cache(): { invalidate(): Promise<void> } {
    return { invalidate: async () => {} };
  }

  /** The binding itself, whose SQL is raw. */
  get $client(): SqlStorage {
    return new SqlStorage(this);
  }

  $with(alias: string, selection?: Fields): { as(query: any): any } {
    const as = (query: any): any => {
      const built = typeof query === "function" ? query(new QueryBuilder(dialect as never)) : query;
      const fields = selection ?? ("getSelectedFields" in built ? built.getSelectedFields() ?? {} : {});
      return new Proxy(
        new WithSubquery(built.getSQL(), fields, alias, true),
        new SelectionProxyHandler({ alias, sqlAliasedBehavior: "alias", sqlBehavior: "error" }),
      );
    };
    return { as };
  }

  $count(source: any, filters?: SQL): any {
    return new CountBuilder({ source, filters, session: this.session });
  }

  with(...queries: any[]): any {
    const { session } = this;
    return {
      select: (fields?: Fields) => new SelectBuilder(session, fields, queries),
      selectDistinct: (fields?: Fields) => new SelectBuilder(session, fields, queries, true),
      update: (table: any) => new UpdateBuilder(session, table, queries),
      insert: (table: any) => new InsertBuilder(session, table, queries),
      delete: (table: any) => new Delete(session, table, queries),
    };
  }

  select(fields?: Fields): SelectBuilder {
    return new SelectBuilder(this.session, fields);
  }

  selectDistinct(fields?: Fields): SelectBuilder {
    return new SelectBuilder(this.session, fields, undefined, true);
  }

  update(table: any): UpdateBuilder {
    return new UpdateBuilder(this.session, table);
  }

  insert(table: any): InsertBuilder {
    return new InsertBuilder(this.session, table);
  }

  delete(table: any): Delete {
    return new Delete(this.session, table, undefined);
  }

  run(query: Raw): void {
    return this.session.run(this.raw("run", query));
  }

  all(query: Raw): any[] {
    return this.session.all(this.raw("all", query));
  }

  get(query: Raw): any {
    return this.session.get(this.raw("get", query));
  }

  values(query: Raw): any[][] {
    return this.session.values(this.raw("values", query));
  }

  execute(query: Raw): any[] {
    return this.session.all(this.raw("execute", query));
  }

  private raw(method: string, query: Raw): SQL {
    if (this.session.guarded) refuseRaw(this.session, method);
    return typeof query === "string" ? sql.raw(query) : query.getSQL();
  }

  /** A savepoint: what `body` did is undone alone if it throws, also later. Sync or async; one after another (FUN-16). */
  transaction<T>(body: (tx: Transaction) => T): T | Promise<Awaited<T>> {
    const { call, guarded, scope } = this.session;
    call.use("ctx.db");
    return scope.run(call.host, (inner) => body(new Transaction(new Session(call, dialect, guarded, inner), this._)));
  }
}

export class Transaction extends Database {
  static override readonly [entityKind]: string = "SQLiteTransaction";

  rollback(): never {
    throw new TransactionRollbackError();
  }
}

export function openDatabase(call: Call, schema: Schema, guarded: boolean): Database {
  return new Database(new Session(call, dialect, guarded, call.scope), schema);
}

/** What `durable-sqlite` has as its client (FUN-06). */
export class SqlStorage {
  private readonly db: Database;

  constructor(db: Database) {
    this.db = db;
  }

  get sql(): { exec(query: string, ...params: unknown[]): Cursor } {
    const { session } = this.db;
    return {
      exec: (query, ...params) => {
        if (session.guarded) refuseRaw(session, "run");
        const { columns, rows } = session.execute(query, params, 0);
        return new Cursor(columns, rows);
      },
    };
  }

  transactionSync<T>(body: () => T): T | Promise<Awaited<T>> {
    return this.db.transaction(() => body());
  }
}

/** Rows of `sql.exec`, all read already. */
export class Cursor {
  readonly columnNames: string[];
  private readonly rows: unknown[][];
  private position = 0;

  constructor(columnNames: string[], rows: unknown[][]) {
    this.columnNames = columnNames;
    this.rows = rows;
  }

  private object(row: unknown[]): Record<string, unknown> {
    return Object.fromEntries(this.columnNames.map((name, i) => [name, row[i]]));
  }

  private rest(): unknown[][] {
    const rest = this.rows.slice(this.position);
    this.position = this.rows.length;
    return rest;
  }

  next(): { done: boolean; value?: Record<string, unknown> } {
    const row = this.rows[this.position];
    if (row === undefined) return { done: true };
    this.position += 1;
    return { done: false, value: this.object(row) };
  }

  toArray(): Record<string, unknown>[] {
    return this.rest().map((row) => this.object(row));
  }

  one(): Record<string, unknown> {
    if (this.rows.length !== 1) {
      throw new Error(`Expected exactly one result from SQL query, but got ${this.rows.length} results.`);
    }
    return this.object(this.rest()[0]!);
  }

  raw(): { toArray(): unknown[][]; [Symbol.iterator](): Iterator<unknown[]> } {
    return { toArray: () => this.rest(), [Symbol.iterator]: () => this.rest()[Symbol.iterator]() };
  }

  [Symbol.iterator](): Iterator<Record<string, unknown>> {
    return this.toArray()[Symbol.iterator]();
  }
}
