import { ExecuteResultSync } from "drizzle-orm/sqlite-core";
import type { Query } from "./session.ts";

type Values = Record<string, unknown> | undefined;
export type Method = "run" | "all" | "get" | "values";

/** What `.prepare()` answers with. */
export class Prepared {
  private readonly query: Query;
  private readonly method: Method;
  private readonly ways: Record<Method, (values: Values) => any>;

  constructor(query: Query, method: Method, ways: Record<Method, (values: Values) => any>) {
    this.query = query;
    this.method = method;
    this.ways = ways;
  }

  getQuery(): Query {
    return this.query;
  }

  run(values?: Values): any {
    return this.ways.run(values);
  }

  all(values?: Values): any {
    return this.ways.all(values);
  }

  get(values?: Values): any {
    return this.ways.get(values);
  }

  values(values?: Values): any {
    return this.ways.values(values);
  }

  execute(values?: Values): ExecuteResultSync<any> {
    return new ExecuteResultSync(() => this.ways[this.method](values));
  }
}
