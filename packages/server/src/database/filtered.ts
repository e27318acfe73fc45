import { is, SQL } from "drizzle-orm";
import { orderSelectedFields, SelectionProxyHandler, Table } from "./drizzle.ts";
import { Fingerprint } from "./fingerprint.ts";
import { guardPrepare, guardUnfiltered } from "./guard.ts";
import { returningMapping } from "./insert.ts";
import { expressionDecoders, type Selected } from "./mapping.ts";
import { planned } from "./plans.ts";
import type { Method, Prepared } from "./prepared.ts";
import { type Built, Runnable } from "./runnable.ts";
import type { Session } from "./session.ts";
import { tableInfo } from "./table-info.ts";

/** What UPDATE and DELETE have in common: a condition, or that it is left out on purpose. */
export abstract class Filtered extends Runnable {
  private readonly verb: "update" | "delete";
  protected readonly table: any;
  protected readonly withList: any[] | undefined;
  protected condition: any;
  protected order: any[] | undefined;
  protected limitValue: any;
  protected returned: Selected[] | undefined;
  private isUnfilteredMeant = false;

  constructor(session: Session, verb: "update" | "delete", table: any, withList: any[] | undefined) {
    super(session, session.dialect);
    this.verb = verb;
    this.table = table;
    this.withList = withList;
    this.builtFor(verb, table);
  }

  /** Takes in what stands before the condition. */
  protected abstract printHead(print: Fingerprint): boolean;

  where(where: any): this {
    this.condition = is(where, SQL) && (where as any).queryChunks.length === 0 ? undefined : where;
    return this;
  }

  /** Says that every row is meant. */
  withoutWhere(): this {
    this.isUnfilteredMeant = true;
    return this;
  }

  orderBy(...columns: any[]): this {
    if (typeof columns[0] === "function") {
      const proxy = new Proxy(
        this.table[Table.Symbol.Columns],
        new SelectionProxyHandler({ sqlAliasedBehavior: "alias", sqlBehavior: "sql" }),
      );
      const order = columns[0](proxy);
      this.order = Array.isArray(order) ? order : [order];
    } else {
      this.order = columns;
    }
    return this;
  }

  limit(limit: any): this {
    this.limitValue = limit;
    return this;
  }

  returning(fields?: object): this {
    this.returned = fields ? orderSelectedFields(fields) : tableInfo(this.table, this.dialect).allSelected;
    return this;
  }

  protected defaultMethod(): Method {
    return this.returned ? "all" : "run";
  }

  override prepare(): Prepared {
    guardPrepare(this.session, `${this.verb}s`);
    return super.prepare();
  }

  protected build(): Built {
    this.meant();
    guardUnfiltered(this.session, this.verb, Boolean(this.condition), this.isUnfilteredMeant);
    const print = this.fingerprint();
    return print ? planned(print, () => this.buildWithDrizzle()) : this.buildWithDrizzle();
  }

  private buildWithDrizzle(): Built {
    const { returned } = this;
    const { sql, params } = this.session.build(this.getSQL());
    return {
      sql,
      params,
      mapping: returned && returningMapping(returned),
      expressions: returned ? expressionDecoders(returned) : [],
    };
  }

  private fingerprint(): Fingerprint | undefined {
    const { returned } = this;
    if (this.withList?.length || this.order || this.limitValue !== undefined) return undefined;
    if (returned && returned !== tableInfo(this.table, this.dialect).allSelected) return undefined;
    const print = new Fingerprint(this.verb === "update" ? "U" : "X");
    print.id(this.table);
    if (!this.printHead(print)) return undefined;
    print.key += "\x01w";
    if (this.condition && !print.chunk(this.condition)) return undefined;
    if (returned) print.key += "\x01r";
    return print;
  }
}
