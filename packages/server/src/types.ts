import type { ExtractTablesWithRelations, SQL, SQLWrapper } from "drizzle-orm";
import type { BaseSQLiteDatabase, SQLiteTable } from "drizzle-orm/sqlite-core";
import type { Register } from "./index.ts";
import type { JwtSigner } from "./jwt.ts";

declare module "drizzle-orm/sqlite-core/query-builders/update" {
  interface SQLiteUpdateBase<
    TTable extends SQLiteTable = SQLiteTable,
    TResultType extends "sync" | "async" = "sync" | "async",
    TRunResult = unknown,
    TFrom extends SQLiteTable | import("drizzle-orm").Subquery | import("drizzle-orm/sqlite-core/view-base").SQLiteViewBase | SQL | undefined = undefined,
    TReturning = undefined,
    TDynamic extends boolean = false,
    TExcludedMethods extends string = never,
  > {
    /** Says that every row is meant: without it an update needs a condition. */
    withoutWhere(): this;
  }
}

declare module "drizzle-orm/sqlite-core/query-builders/delete" {
  interface SQLiteDeleteBase<
    TTable extends SQLiteTable,
    TResultType extends "sync" | "async",
    TRunResult,
    TReturning extends Record<string, unknown> | undefined = undefined,
    TDynamic extends boolean = false,
    TExcludedMethods extends string = never,
  > {
    /** Says that every row is meant: without it a delete needs a condition. */
    withoutWhere(): this;
  }
}

type AnySchema = Record<string, unknown>;
type Base<Schema extends AnySchema> = BaseSQLiteDatabase<"sync", void, Schema, ExtractTablesWithRelations<Schema>>;

/** drizzle over the database of the hub: synchronous, and awaitable. */
export interface FerryDatabase<Schema extends AnySchema = AnySchema> extends Omit<Base<Schema>, "transaction"> {
  /** A savepoint in the call's transaction; `body` may be async. A throw, or `tx.rollback()`, undoes it alone. */
  transaction<T>(body: (tx: FerryTransaction<Schema>) => Promise<T>): Promise<T>;
  transaction<T>(body: (tx: FerryTransaction<Schema>) => T): T;
}

export interface FerryTransaction<Schema extends AnySchema = AnySchema> extends FerryDatabase<Schema> {
  rollback(): never;
}

/** `ctx.unsafeRawDb`: no guards, no caps, raw SQL. */
export interface UnsafeDatabase<Schema extends AnySchema = AnySchema> extends FerryDatabase<Schema> {
  execute<T = Record<string, unknown>>(query: SQLWrapper | string): T[];
}

export interface Log {
  (...values: unknown[]): void;
  debug(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
}

/** Claims of a caller's token. */
export interface Claims {
  /** Who it is. */
  sub?: string;
  [claim: string]: any;
}

/** What `Register` of this project says, else `Default`. */
type Registered<Name extends string, Default> = Register extends { [N in Name]: infer Value extends Default } ? Value : Default;

/**
 * What a function is called with (FUN-05). What is not given is what the project has registered:
 * `declare module "@ferry/server" { interface Register { schema: typeof schema } }`.
 */
export interface FerryContext<
  Schema extends AnySchema = Registered<"schema", AnySchema>,
  Env = Registered<"env", Record<string, string>>,
  Variables extends AnySchema = Registered<"variables", AnySchema>,
  User = Registered<"user", Claims>,
> {
  db: FerryDatabase<Schema>;
  unsafeRawDb: UnsafeDatabase<Schema>;
  /** Names in lower case, without the API key. */
  headers: Record<string, string>;
  /** Claims of the caller's token. */
  user: User | null;
  /** `null` unless the database signs its own tokens. */
  signJwt: JwtSigner | null;
  log: Log;
  /** The result depends on these names beside the tables that were read. */
  subscribeTo(names: string | string[]): void;
  /** Subscribers of these names are told, if the call commits. */
  invalidate(names: string | string[]): void;
  /** The database's secrets. */
  env: Env;
  set<K extends keyof Variables>(name: K, value: Variables[K]): void;
  get<K extends keyof Variables>(name: K): Variables[K];
  requestId: string;
  /** Number of the newest commit that the call sees. */
  seq: number;
  records: {
    /** Makes the record, or changes the fields that are named. */
    put(collection: string, id: string, fields: Record<string, unknown>): any;
    delete(collection: string, id: string): any;
  };
  events: { append(storeId: string, event: { name: string; args: unknown }): any };
  ops: { append(ops: unknown[]): any };
}

/** `FerryContext` by the name that EdgePod's programs know. */
export type EdgePodContext<
  Schema extends AnySchema = Registered<"schema", AnySchema>,
  Env = Registered<"env", Record<string, string>>,
  Variables extends AnySchema = Registered<"variables", AnySchema>,
  User = Registered<"user", Claims>,
> = FerryContext<Schema, Env, Variables, User>;
