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
  /** As above, with a `body` that is not async. */
  transaction<T>(body: (tx: FerryTransaction<Schema>) => T): T;
}

/** What `ctx.db.transaction` hands to its body: the database, within the savepoint. */
export interface FerryTransaction<Schema extends AnySchema = AnySchema> extends FerryDatabase<Schema> {
  /** Undoes the savepoint, by a throw that `ctx.db.transaction` passes on. */
  rollback(): never;
}

/** `ctx.unsafeRawDb`: no guards, no caps, raw SQL. */
export interface UnsafeDatabase<Schema extends AnySchema = AnySchema> extends FerryDatabase<Schema> {
  /** Runs SQL as it is; gives the rows, by column name. */
  execute<T = Record<string, unknown>>(query: SQLWrapper | string): T[];
}

/** `ctx.log`, which `console` writes to as well; `ferry dev` and `ferry logs` show it, with the request's id. */
export interface Log {
  /** As `info`. */
  (...values: unknown[]): void;
  /** What helps while developing. */
  debug(...values: unknown[]): void;
  /** What happens. */
  info(...values: unknown[]): void;
  /** What somebody should look at. */
  warn(...values: unknown[]): void;
  /** What went wrong. */
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
  /** The database, with guards against what is asked for by mistake. */
  db: FerryDatabase<Schema>;
  /** The database without guards, and raw SQL. */
  unsafeRawDb: UnsafeDatabase<Schema>;
  /** Names in lower case, without the API key. */
  headers: Record<string, string>;
  /** Claims of the caller's token. */
  user: User | null;
  /**
   * Whose records the caller's own devices keep, as in `_owner` of collections: `where(eq(todos._owner, ctx.owner))`. A user's
   * is another one with each issuer; a page without a user has its API key's.
   */
  owner: string;
  /** `null` unless the database signs its own tokens. */
  signJwt: JwtSigner | null;
  /** Writes to the log of the hub. */
  log: Log;
  /** The result depends on these names beside the tables that were read. */
  subscribeTo(names: string | string[]): void;
  /** Subscribers of these names are told, if the call commits. */
  invalidate(names: string | string[]): void;
  /** The database's secrets. */
  env: Env;
  /** Keeps a value for the functions and middlewares of this call. */
  set<K extends keyof Variables>(name: K, value: Variables[K]): void;
  /** A value that `set` has kept. */
  get<K extends keyof Variables>(name: K): Variables[K];
  /** Stands in the log, and in answers with errors. */
  requestId: string;
  /** Number of the newest commit that the call sees. */
  seq: number;
  /** Records of any collection, also of those that the schema does not name. */
  records: {
    /** Makes the record, or changes the fields that are named. */
    put(collection: string, id: string, fields: Record<string, unknown>): any;
    /** Deletes the record, on every device. */
    delete(collection: string, id: string): any;
  };
  /** Event logs. */
  events: {
    /** Puts an event at the head of a store's log. */
    append(storeId: string, event: { name: string; args: unknown }): any;
  };
  /** The op log. */
  ops: {
    /** Appends ops, as of the hub itself. */
    append(ops: unknown[]): any;
  };
}

/** `FerryContext` by the name that EdgePod's programs know. */
export type EdgePodContext<
  Schema extends AnySchema = Registered<"schema", AnySchema>,
  Env = Registered<"env", Record<string, string>>,
  Variables extends AnySchema = Registered<"variables", AnySchema>,
  User = Registered<"user", Claims>,
> = FerryContext<Schema, Env, Variables, User>;
