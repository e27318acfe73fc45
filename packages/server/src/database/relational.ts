import { entityKind, fillPlaceholders, mapRelationalRow, type Param, SQL } from "drizzle-orm";
import { SQLiteSyncRelationalQuery } from "drizzle-orm/sqlite-core/query-builders/query";
import type { Schema } from "./database.ts";
import { Fingerprint } from "./fingerprint.ts";
import { clampLimit, limitParam, warnIfFull } from "./guard.ts";
import { isSameList, Plans } from "./plans.ts";
import { Prepared } from "./prepared.ts";
import type { Query, Session } from "./session.ts";

type Config = Record<string, any>;
type Values = Record<string, unknown> | undefined;
type MapRows = (rows: any[][]) => any[];

interface BuiltRelational extends Query {
  map: MapRows;
}

const plans = new Plans<{ sql: string; map: MapRows }>();

/** `ctx.db.query.<table>` (FUN-07), stopped at 1000 rows. */
export class RelationalBuilder {
  static readonly [entityKind]: string = "SQLiteAsyncRelationalQueryBuilder";
  private readonly session: Session;
  private readonly schema: Schema;
  private readonly name: string;

  constructor(session: Session, schema: Schema, name: string) {
    this.session = session;
    this.schema = schema;
    this.name = name;
  }

  findMany(config: Config = {}): RelationalQuery {
    return new RelationalQuery(this.session, this.schema, this.name, config, "many");
  }

  findFirst(config: Config = {}): RelationalQuery {
    return new RelationalQuery(this.session, this.schema, this.name, { ...config, limit: 1 }, "first");
  }
}

export class RelationalQuery {
  static readonly [entityKind]: string = "SQLiteSyncRelationalQuery";
  private readonly session: Session;
  private readonly schema: Schema;
  private readonly name: string;
  private readonly config: Config;
  private readonly mode: "many" | "first";

  constructor(session: Session, schema: Schema, name: string, config: Config, mode: "many" | "first") {
    this.session = session;
    this.schema = schema;
    this.name = name;
    this.config = config;
    this.mode = mode;
  }

  sync(): any {
    return this.read(this.build(), undefined);
  }

  async execute(): Promise<any> {
    return this.sync();
  }

  then(onFulfilled?: ((value: any) => any) | null, onRejected?: ((reason: any) => any) | null): Promise<any> {
    return this.execute().then(onFulfilled, onRejected);
  }

  catch(onRejected?: ((reason: any) => any) | null): Promise<any> {
    return this.execute().catch(onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<any> {
    return this.execute().finally(onFinally);
  }

  prepare(): Prepared {
    const built = this.build();
    const read = (values: Values) => this.read(built, values);
    return new Prepared(built, this.mode === "first" ? "get" : "all", {
      run: (values) => void read(values),
      all: read,
      get: read,
      values: (values) => this.rows(built, values),
    });
  }

  toSQL(): Query {
    const { sql, params } = this.build();
    return { sql, params };
  }

  getSQL(): SQL {
    return this.drizzled(this.config).getSQL();
  }

  private rows({ sql, params }: Query, values: Values): any[][] {
    return this.session.execute(sql, fillPlaceholders(params, values ?? {}), 0).rows;
  }

  private read(built: BuiltRelational, values: Values): any {
    const rows = this.rows(built, values);
    if (this.mode === "first") return built.map(rows)[0];
    if (this.session.guarded) warnIfFull(this.session, rows.length);
    return built.map(rows);
  }

  private drizzled(config: Config): any {
    const { fullSchema, schema, tableNamesMap } = this.schema;
    return new (SQLiteSyncRelationalQuery as any)(
      fullSchema, schema, tableNamesMap, fullSchema[this.name], schema[this.name], this.session.dialect, this.session, config, this.mode,
    );
  }

  private build(): BuiltRelational {
    const config = this.session.guarded ? capped(this.session, this.config, true) : this.config;
    const print = new Fingerprint(`R${this.mode}`);
    print.id(this.schema.schema[this.name]);
    const isKnown = printRelation(print, config);
    const plan = isKnown ? plans.get(print.key) : undefined;
    if (plan) return { sql: plan.sql, params: print.params, map: plan.map };
    const { query, builtQuery } = this.drizzled(config)._toSQL();
    const { schema } = this.schema;
    const map: MapRows = (rows) =>
      rows.map((row) => mapRelationalRow(schema, schema[this.name], row, query.selection));
    if (isKnown && isSameList(builtQuery.params, print.params)) plans.set(print.key, { sql: builtQuery.sql, map });
    return { sql: builtQuery.sql, params: builtQuery.params, map };
  }
}

/** Limits of a query and of what comes along are capped. Without one, all that belongs to a row comes with it. */
function capped(session: Session, config: Config, isTop: boolean): Config {
  const relations = config["with"] && Object.fromEntries(Object.entries<any>(config["with"]).map(([name, nested]) =>
    [name, nested !== null && typeof nested === "object" ? capped(session, nested, false) : nested]));
  const withRelations = relations ? { ...config, with: relations } : config;
  const { limit } = config;
  return limit === undefined && !isTop ? withRelations : { ...withRelations, limit: cappedLimit(session, limit) };
}

function cappedLimit(session: Session, limit: unknown): Param | number {
  return limit !== null && typeof limit === "object" ? limitParam(session, limit) : clampLimit(session, limit);
}

/** Parts in the order in which drizzle binds what is in them. Functions, and what they may read, are left to drizzle. */
function printRelation(print: Fingerprint, config: Config | true): boolean {
  if (config === true) {
    print.key += "\x01t";
    return true;
  }
  if (config["extras"]) return false;
  print.key += "\x01{";
  for (const [name, isChosen] of Object.entries(config["columns"] ?? {})) {
    print.key += `\x01c${name}${isChosen === undefined ? "u" : isChosen ? "+" : "-"}`;
  }
  for (const [name, nested] of Object.entries<any>(config["with"] ?? {})) {
    if (!nested) continue;
    print.key += `\x01r${name}`;
    if (!printRelation(print, nested)) return false;
  }
  for (const part of ["where", "orderBy", "limit", "offset"]) {
    const value = config[part];
    if (value === undefined) continue;
    print.key += `\x01p${part}`;
    if (!print.chunk(value)) return false;
  }
  print.key += "\x01}";
  return true;
}

export function relationalBuilders(session: Session, schema: Schema): Record<string, RelationalBuilder> {
  return Object.fromEntries(Object.keys(schema.schema).map((name) => [name, new RelationalBuilder(session, schema, name)]));
}
