import { entityKind } from "drizzle-orm";
import { RelationalQueryBuilder } from "drizzle-orm/sqlite-core/query-builders/query";
import type { Schema } from "./database.ts";
import { limitParam } from "./guard.ts";
import type { Session } from "./session.ts";

type Config = Record<string, any>;

/** `ctx.db.query.<table>` (FUN-07), stopped at 1000 rows. */
export class RelationalBuilder {
  static readonly [entityKind]: string = "SQLiteAsyncRelationalQueryBuilder";
  private readonly session: Session;
  private readonly builder: any;

  constructor(session: Session, builder: any) {
    this.session = session;
    this.builder = builder;
  }

  findMany(config: Config = {}): any {
    if (!this.session.guarded) return this.builder.findMany(config);
    return this.builder.findMany({ ...this.withCappedRelations(config), limit: limitParam(this.session, config.limit) });
  }

  findFirst(config: Config = {}): any {
    return this.builder.findFirst(this.session.guarded ? this.withCappedRelations(config) : config);
  }

  /** Limits of what comes along are capped too. Without one, all that belongs to a row comes with it. */
  private withCappedRelations(config: Config): Config {
    if (!config.with) return config;
    const relations = Object.entries<any>(config.with).map(([name, nested]) => {
      if (nested === null || typeof nested !== "object") return [name, nested];
      const inner = this.withCappedRelations(nested);
      return [name, nested.limit === undefined ? inner : { ...inner, limit: limitParam(this.session, nested.limit) }];
    });
    return { ...config, with: Object.fromEntries(relations) };
  }
}

export function relationalBuilders(session: Session, { fullSchema, schema, tableNamesMap }: Schema): Record<string, RelationalBuilder> {
  return Object.fromEntries(Object.entries(schema).map(([name, tableConfig]) => {
    const builder = new (RelationalQueryBuilder as any)(
      "sync", fullSchema, schema, tableNamesMap, fullSchema[name], tableConfig, session.dialect, session,
    );
    return [name, new RelationalBuilder(session, builder)];
  }));
}
