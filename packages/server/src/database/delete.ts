import { entityKind, type SQL } from "drizzle-orm";
import { Filtered } from "./filtered.ts";
import type { Session } from "./session.ts";

export class Delete extends Filtered {
  static readonly [entityKind]: string = "SQLiteDelete";

  constructor(session: Session, table: any, withList: any[] | undefined) {
    super(session, "delete", table, withList);
  }

  protected printHead(): boolean {
    return true;
  }

  getSQL(): SQL {
    this.meant();
    return (this.dialect as any).buildDeleteQuery({
      table: this.table,
      where: this.condition,
      returning: this.returned,
      withList: this.withList,
      limit: this.limitValue,
      orderBy: this.order,
    });
  }
}
