import { entityKind, type SQL } from "drizzle-orm";
import type { SQLiteSyncDialect } from "drizzle-orm/sqlite-core";
import type { Call } from "../call.ts";
import type { Executed, RowMode } from "../host.ts";
import { OVER, type Scope } from "./scope.ts";

export interface Query {
  sql: string;
  params: unknown[];
}

const WRITES = /^\s*(?:insert|update|delete|replace)\b|^\s*with\b.*\b(?:insert|update|delete|replace)\b/is;
const BESIDE = "A transaction is open: write by its tx, or await the transaction first.";

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
    const { inner } = this.scope;
    // It would be undone with a transaction that it does not belong to.
    if (inner && !inner.onStack && WRITES.test(sql)) throw new Error(BESIDE);
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
}
