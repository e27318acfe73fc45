import { entityKind, fillPlaceholders, type SQL } from "drizzle-orm";
import type { SQLiteSyncDialect } from "drizzle-orm/sqlite-core";
import type { Call } from "../call.ts";
import type { Executed, RowMode } from "../host.ts";
import { warnIfFull } from "./guard.ts";
import { Prepared } from "./prepared.ts";
import { OVER, type Scope } from "./scope.ts";

export interface Query {
  sql: string;
  params: unknown[];
}

/** What queries of one `ctx.db`, `ctx.unsafeRawDb` or transaction run through. */
export class Session {
  static readonly [entityKind]: string = "SQLiteSession";
  readonly call: Call;
  readonly dialect: SQLiteSyncDialect;
  readonly guarded: boolean;
  readonly scope: Scope;

  constructor(call: Call, dialect: SQLiteSyncDialect, guarded: boolean, scope: Scope) {
    this.call = call;
    this.dialect = dialect;
    this.guarded = guarded;
    this.scope = scope;
  }

  execute(sql: string, params: readonly unknown[], mode: RowMode): Executed {
    if (this.call.ended) this.call.use("ctx.db");
    if (this.scope.closed) throw new Error(OVER);
    return this.call.host.execute(sql, params, mode);
  }

  warn(text: string): void {
    this.call.host.warn(text);
  }

  build(query: SQL): Query {
    return this.dialect.sqlToQuery(query);
  }

  run(query: SQL): void {
    const { sql, params } = this.build(query);
    this.execute(sql, params, 2);
  }

  all(query: SQL): any[] {
    const { sql, params } = this.build(query);
    return this.execute(sql, params, 1).rows;
  }

  get(query: SQL): any {
    const { sql, params } = this.build(query);
    return this.execute(sql, params, 1).rows[0];
  }

  values(query: SQL): any[][] {
    const { sql, params } = this.build(query);
    return this.execute(sql, params, 0).rows;
  }

  /** drizzle's `$count` asks for this. */
  async count(query: SQL): Promise<number> {
    return this.values(query)[0]![0];
  }

  /** drizzle's relational queries ask for this. */
  prepareQuery(
    query: Query,
    _fields: undefined,
    method: "all" | "get",
    _isArrays: boolean,
    map: (rows: any[][]) => any,
  ): Prepared {
    const read = (values?: Record<string, unknown>) =>
      this.execute(query.sql, fillPlaceholders(query.params, values ?? {}), 0).rows;
    const mapped = (values?: Record<string, unknown>) => {
      const rows = read(values);
      if (this.guarded && method === "all") warnIfFull(this, rows.length);
      return rows.length === 0 && method === "get" ? undefined : map(rows);
    };
    return new Prepared(query, method, { run: () => {}, all: mapped, get: mapped, values: read });
  }

  prepareOneTimeQuery(...query: Parameters<Session["prepareQuery"]>): Prepared {
    return this.prepareQuery(...query);
  }
}
