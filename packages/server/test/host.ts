// The hub's side of a call, on a real SQLite: what the tests of this package run functions against.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import type { Executed, Host, Request, RowMode, Verified } from "../src/host.ts";

const sqlite3 = await sqlite3InitModule();
// Statements that fail are what some tests are about.
(sqlite3 as unknown as { config: { warn(): void } }).config.warn = () => {};

export interface Statement {
  sql: string;
  params: readonly unknown[];
}

export class SqlError extends Error {
  readonly kind: string;

  constructor(kind: string, message: string) {
    super(message);
    this.name = "SqlError";
    this.kind = kind;
  }
}

/** A host over a database in memory, that notes what it is told. */
export class TestHost implements Host {
  readonly db = new sqlite3.oo1.DB(":memory:", "c");
  statements: Statement[] = [];
  warnings: string[] = [];
  logged: string[] = [];
  usedThings: string[] = [];
  subscribed: string[] = [];
  invalidated: string[] = [];
  asked: unknown[][] = [];
  savepoints = 0;
  keyed = true;

  constructor(schema = "") {
    this.db.exec("PRAGMA foreign_keys = ON");
    if (schema !== "") this.db.exec(schema);
  }

  execute(sql: string, params: readonly unknown[], mode: RowMode): Executed {
    this.statements.push({ sql, params: [...params] });
    const before = this.db.changes(true, false) as number;
    const rows: any[] = [];
    let columns: string[] = [];
    try {
      const statement = this.db.prepare(sql);
      try {
        if (params.length > 0) statement.bind(params.map(bindable) as never);
        if (statement.columnCount > 0) columns = statement.getColumnNames([]) as string[];
        while (statement.step()) rows.push(shaped(statement.get([]) as unknown[], columns, mode));
      } finally {
        statement.finalize();
      }
    } catch (error) {
      const { message } = error as Error;
      const text = message.replace(/^sqlite3 result code \d+: |^SQLITE_[A-Z_]+: sqlite3 result code \d+: /, "");
      throw new SqlError(/constraint failed/i.test(text) ? "constraint" : "sql", text);
    }
    return {
      columns,
      rows: mode === 2 ? [] : rows,
      changes: (this.db.changes(true, false) as number) - before,
      lastInsertRowid: Number(sqlite3.capi.sqlite3_last_insert_rowid(this.db.pointer as never)),
    };
  }

  savepoint(step: "begin" | "release" | "rollback"): void {
    if (step === "begin") {
      this.savepoints += 1;
      this.db.exec(`SAVEPOINT s${this.savepoints}`);
      return;
    }
    if (this.savepoints === 0) throw new Error("no savepoint is open");
    if (step === "rollback") this.db.exec(`ROLLBACK TO s${this.savepoints}`);
    this.db.exec(`RELEASE s${this.savepoints}`);
    this.savepoints -= 1;
  }

  model(...args: unknown[]): string {
    this.asked.push(args);
    return '{"ok":true}';
  }

  log(level: string, text: string): void {
    this.logged.push(`${level}: ${text}`);
  }

  warn(text: string): void {
    this.warnings.push(text);
  }

  subscribeTo(names: string[]): void {
    this.subscribed.push(...names);
  }

  invalidate(names: string[]): void {
    this.invalidated.push(...names);
  }

  seq(): number {
    return 41;
  }

  used(what: string): void {
    this.usedThings.push(what);
  }

  async sign(claims: string, expiresIn: string): Promise<string> {
    return `signed ${claims} for ${expiresIn}`;
  }

  async verify(token: string, issuer?: string): Promise<Verified> {
    return token === "good" ? { ok: true, payload: { issuer } } : { ok: false, error: "Token expired" };
  }

  rows(sql: string): unknown[] {
    return this.db.exec(sql, { rowMode: "object", returnValue: "resultRows" });
  }
}

function bindable(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === "boolean") return value ? 1 : 0;
  const isKnown = value === null || ["number", "bigint", "string"].includes(typeof value) || value instanceof Uint8Array
    || value instanceof ArrayBuffer;
  if (!isKnown) throw new SqlError("sql", `cannot bind ${String(value)}`);
  return value;
}

function shaped(row: unknown[], columns: string[], mode: RowMode): unknown {
  if (mode === 0) return row;
  const names = mode === 1 || mode === 2 ? columns : mode;
  return Object.fromEntries(names.map((name, i) => [name, row[i]]));
}

export function request(change: Partial<Request> = {}): Request {
  return {
    args: {}, headers: {}, user: null, owner: "u_1", env: {}, requestId: "r1", guardPrefix: "[Ferry]", canSign: false, ...change,
  };
}
