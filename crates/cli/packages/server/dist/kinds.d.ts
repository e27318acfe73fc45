import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { FerryContext } from "./types.ts";
export type FunctionKind = "auto" | "query" | "mutation" | "action";
/** What a declared function is marked with, so that the runtime knows it. */
export interface Declared {
    kind: FunctionKind;
    internal: boolean;
}
export declare function declaredOf(handler: object): Declared;
export declare function declare<T extends object>(handler: T, how: Declared): T;
export declare function markWrapper(wrapper: object): void;
export declare function isWrapper(value: object): boolean;
export type Handler<Args, Result, Context = FerryContext> = (ctx: Context, args: Args) => Result;
/** A handler whose arguments are checked by a Standard Schema validator (zod, valibot, arktype, …). */
export interface Checked<S extends StandardSchemaV1, Result, Context = FerryContext> {
    args: S;
    handler: Handler<StandardSchemaV1.InferOutput<S>, Result, Context>;
}
export interface Declare {
    <S extends StandardSchemaV1, Result, Context = FerryContext>(checked: Checked<S, Result, Context>): (ctx: Context, args: StandardSchemaV1.InferInput<S>) => Result | Promise<Awaited<Result>>;
    <Args, Result, Context = FerryContext>(handler: Handler<Args, Result, Context>): Handler<Args, Result, Context>;
}
/** Never writes; its results stay fresh in clients (FUN-02). */
export declare const query: Declare;
/** Writes: holds the database's writer from its first statement on. */
export declare const mutation: Declare;
/** Not one transaction: each statement, and each `ctx.db.transaction`, commits alone. */
export declare const action: Declare;
/** Not for callers over the wire. */
export declare const internal: Declare;
