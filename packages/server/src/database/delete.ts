import { entityKind, type SQL } from "drizzle-orm";
import { Filtered } from "./filtered.ts";

export class Delete extends Filtered {
  static readonly [entityKind]: string = "SQLiteDelete";
  protected readonly verb = "delete";

  protected printHead(): boolean {
    return true;
  }

  getSQL(): SQL {
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
