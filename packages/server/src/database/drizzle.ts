// Parts of drizzle that its published types leave out, or declare for its own builders alone.
import * as orm from "drizzle-orm";
import { SelectionProxyHandler as Handler } from "drizzle-orm/selection-proxy";
import * as sqlite from "drizzle-orm/sqlite-core";
import { SQLiteCountBuilder } from "drizzle-orm/sqlite-core/query-builders/count";
import { SQLiteViewBase as ViewBase } from "drizzle-orm/sqlite-core/view-base";

export const SelectionProxyHandler: any = Handler;
export const SQLiteViewBase: any = ViewBase;
export const Table: any = orm.Table;
export const ViewBaseConfig: any = orm.ViewBaseConfig;
export const getTableLikeName: (table: any) => string | undefined = (orm as any).getTableLikeName;
export const haveSameKeys: (left: object, right: object) => boolean = (orm as any).haveSameKeys;
export const mapUpdateSet: (table: any, values: object) => Record<string, any> = (orm as any).mapUpdateSet;
export const orderSelectedFields: (fields: object) => { path: string[]; field: any }[] = (orm as any).orderSelectedFields;
export const extractUsedTable: (table: any) => string[] = (sqlite as any).extractUsedTable;
export const setOperators: any = {
  union: sqlite.union, unionAll: sqlite.unionAll, intersect: sqlite.intersect, except: sqlite.except,
};
export const CountBuilder: any = SQLiteCountBuilder;
