import { fillPlaceholders, type SQL } from "drizzle-orm";
import type { SQLiteSyncDialect } from "drizzle-orm/sqlite-core";
import { getTableLikeName } from "./drizzle.ts";
import type { Decoder } from "./fingerprint.ts";
import { decodeObjects, mapArrays, type Mapping, rowMode } from "./mapping.ts";
import { type Method, Prepared } from "./prepared.ts";
import type { Session } from "./session.ts";

/** A statement that is ready to run. */
export interface Built {
  sql: string;
  params: unknown[];
  /** `undefined`: it answers with nothing. */
  mapping: Mapping | undefined;
  expressions: readonly (Decoder | undefined)[];
}

/** What all builders of statements have in common: run now, run when awaited, prepare. */
export abstract class Runnable {
  readonly session: Session;
  readonly dialect: SQLiteSyncDialect;

  constructor(session: Session, dialect: SQLiteSyncDialect) {
    this.session = session;
    this.dialect = dialect;
  }

  /** The call tells of a write that is built, and neither run nor made a part of another statement. */
  protected builtFor(verb: "insert" | "update" | "delete", table: any): void {
    const name = getTableLikeName(table) ?? "…";
    this.session.call.built(this, `ctx.db.${verb}(${name})`);
  }

  protected meant(): void {
    this.session.call.meant(this);
  }

  /** Every guard of the statement is asked here. */
  protected abstract build(method: Method): Built;
  protected abstract defaultMethod(): Method;
  abstract getSQL(): SQL;

  /** Told how many rows came back, if all were asked for. */
  protected counted(_rowCount: number): void {}

  run(values?: Record<string, unknown>): any {
    const built = this.build("run");
    this.session.execute(built.sql, filled(built, values), 2);
  }

  all(values?: Record<string, unknown>): any {
    const rows = runAll(this.session, this.build("all"), values);
    this.counted(rows.length);
    return rows;
  }

  get(values?: Record<string, unknown>): any {
    return runAll(this.session, this.build("get"), values)[0];
  }

  values(values?: Record<string, unknown>): any {
    const built = this.build("values");
    const { rows } = this.session.execute(built.sql, filled(built, values), 0);
    this.counted(rows.length);
    return rows;
  }

  private runDefault(values?: Record<string, unknown>): any {
    return this.defaultMethod() === "run" ? this.run(values) : this.all(values);
  }

  async execute(values?: Record<string, unknown>): Promise<any> {
    return this.runDefault(values);
  }

  then(onFulfilled?: ((value: any) => any) | null, onRejected?: ((reason: any) => any) | null): Promise<any> {
    let value;
    try {
      value = this.runDefault();
    } catch (error) {
      return Promise.reject(error).then(onFulfilled, onRejected);
    }
    return Promise.resolve(value).then(onFulfilled, onRejected);
  }

  catch(onRejected?: ((reason: any) => any) | null): Promise<any> {
    return this.then(undefined, onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<any> {
    return this.then(
      (value) => {
        onFinally?.();
        return value;
      },
      (reason) => {
        onFinally?.();
        throw reason;
      },
    );
  }

  prepare(): Prepared {
    const { session } = this;
    const method = this.defaultMethod();
    const built = this.build(method);
    const counted = <T>(rows: T[]): T[] => {
      this.counted(rows.length);
      return rows;
    };
    return new Prepared(built, method, {
      run: (values) => void session.execute(built.sql, filled(built, values), 2),
      all: (values) => counted(runAll(session, built, values)),
      get: (values) => runAll(session, built, values)[0],
      values: (values) => counted(session.execute(built.sql, filled(built, values), 0).rows),
    });
  }

  toSQL(): { sql: string; params: unknown[] } {
    const { sql, params } = this.dialect.sqlToQuery(this.getSQL());
    return { sql, params };
  }

  $dynamic(): this {
    return this;
  }
}

/** Fills in placeholders; queries that have none go as they are, but that what is undefined is NULL. */
function filled({ params }: Built, values: Record<string, unknown> | undefined): unknown[] {
  for (let i = 0; i < params.length; i++) {
    const param = params[i];
    if (param === undefined) params[i] = null;
    else if (param !== null && typeof param === "object" && !(param instanceof Uint8Array)) {
      return fillPlaceholders(params, values ?? {});
    }
  }
  return params;
}

function runAll(session: Session, built: Built, values: Record<string, unknown> | undefined): any[] {
  const { mapping, expressions } = built;
  if (!mapping) {
    session.execute(built.sql, filled(built, values), 2);
    return [];
  }
  const mode = rowMode(mapping, session.call.host.keyed);
  const rows = session.execute(built.sql, filled(built, values), mode).rows;
  return mode !== 0 ? decodeObjects(mapping, rows, expressions) : mapArrays(mapping, rows, expressions);
}
