import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { FerryContext } from "./types.ts";
/** `auto` is a plain export: it reads or writes, as it turns out. */
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
/** What Ferry calls: the context, and the arguments of the caller. */
export type Handler<Args, Result, Context = FerryContext> = (ctx: Context, args: Args) => Result;
/** How a function was declared, for types alone: no value has this member. */
export interface Mark<Kind extends FunctionKind = FunctionKind, Internal extends boolean = boolean> {
    readonly "~ferry"?: {
        kind: Kind;
        internal: Internal;
    };
}
/** A handler whose arguments are checked by a Standard Schema validator (zod, valibot, arktype, …). */
export interface Checked<S extends StandardSchemaV1, Result, Context = FerryContext> {
    args: S;
    handler: Handler<StandardSchemaV1.InferOutput<S>, Result, Context>;
}
/** A handler of the caller's own arguments: what a validator takes in. */
type CheckedHandler<S extends StandardSchemaV1, Result, Context> = Handler<StandardSchemaV1.InferInput<S>, Result | Promise<Awaited<Result>>, Context>;
/** Makes a function of one kind of a handler, or of `{ args, handler }`. */
export interface Declare<Kind extends FunctionKind> {
    <S extends StandardSchemaV1, Result, Context = FerryContext>(checked: Checked<S, Result, Context>): CheckedHandler<S, Result, Context> & Mark<Kind, false>;
    <Args, Result, Context = FerryContext, Internal extends boolean = false>(handler: Handler<Args, Result, Context> & Mark<FunctionKind, Internal>): Handler<Args, Result, Context> & Mark<Kind, Internal>;
}
/** Hides a function from callers over the wire; what it wraps keeps its kind. */
export interface DeclareInternal {
    <S extends StandardSchemaV1, Result, Context = FerryContext>(checked: Checked<S, Result, Context>): CheckedHandler<S, Result, Context> & Mark<"auto", true>;
    <Args, Result, Context = FerryContext, Kind extends FunctionKind = "auto">(handler: Handler<Args, Result, Context> & Mark<Kind>): Handler<Args, Result, Context> & Mark<Kind, true>;
}
/** Never writes; its results stay fresh in clients (FUN-02). */
export declare const query: Declare<"query">;
/** Writes: holds the database's writer from its first statement on. */
export declare const mutation: Declare<"mutation">;
/** Not one transaction: each statement, and each `ctx.db.transaction`, commits alone. */
export declare const action: Declare<"action">;
/** Not for callers over the wire. */
export declare const internal: DeclareInternal;
export {};
