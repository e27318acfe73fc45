import type { BuildColumns } from "drizzle-orm";
import { type SQLiteColumnBuilderBase, type SQLiteTableWithColumns } from "drizzle-orm/sqlite-core";
import type { Call } from "./call.ts";
declare module "drizzle-orm/sqlite-core/columns/common" {
    interface SQLiteColumnBuilder {
        /** In a collection: the field gets an index (FUN-80). */
        index(): this;
    }
}
/** What stands beside a collection's own fields. */
declare const implied: () => {
    _owner: import("drizzle-orm/sqlite-core").SQLiteTextBuilderInitial<"_owner", [string, ...string[]], number | undefined>;
    _space: import("drizzle-orm/sqlite-core").SQLiteTextBuilderInitial<"_space", [string, ...string[]], number | undefined>;
    _updated_at: import("drizzle-orm/sqlite-core").SQLiteIntegerBuilderInitial<"_updated_at">;
    _extra: import("drizzle-orm").$Type<import("drizzle-orm/sqlite-core").SQLiteTextJsonBuilderInitial<"_extra">, Record<string, unknown>>;
};
export declare const IMPLIED_NAMES: readonly string[];
export interface Collection {
    name: string;
    app: string;
    table: any;
    indexedKeys: Set<string>;
}
type Fields = Record<string, SQLiteColumnBuilderBase>;
type Own<T> = Omit<T, "app">;
declare function idBuilder(): import("drizzle-orm").HasRuntimeDefault<import("drizzle-orm").HasDefault<import("drizzle-orm").IsPrimaryKey<import("drizzle-orm").NotNull<import("drizzle-orm/sqlite-core").SQLiteTextBuilderInitial<"id", [string, ...string[]], number | undefined>>>>>;
type CollectionColumns<T> = {
    id: ReturnType<typeof idBuilder>;
} & Own<T> & ReturnType<typeof implied>;
/** The table that `collection()` makes: its fields, `id`, and what every record has. */
export type CollectionTable<Name extends string, T> = SQLiteTableWithColumns<{
    name: Name;
    schema: undefined;
    columns: CollectionColumns<T> extends infer C extends Fields ? BuildColumns<Name, C, "sqlite"> : never;
    dialect: "sqlite";
}>;
/** Live records of an app's collection as a table: read and write it like one (FUN-80). */
export declare function collection<Name extends string, T extends {
    app: string;
}>(name: Name, description: T): CollectionTable<Name, T>;
export declare function isCollection(table: object): boolean;
export declare function collectionOf(table: object): Collection | undefined;
/** A row with its owner, who is the caller, as his own devices are, unless one is given (FUN-83). */
export declare function ownerOf(call: Call, table: object, row: Record<string, any>): Record<string, any>;
export {};
