import { type FunctionKind, type Handler, type Mark } from "./kinds.ts";
import type { FerryContext } from "./types.ts";
/** Goes on to what is wrapped, with the context and arguments as they are or as given. */
export type Next = (ctx?: any, args?: any) => any;
/** Calls `next` or not; what it returns is the answer. */
export type Middleware<Context = FerryContext> = (ctx: Context, args: any, next: Next) => any;
/** Wraps handlers that take `Inner`, so that they can be called with `Context`. */
export interface Wrapper<Context, Inner> {
    <Args, Result, Kind extends FunctionKind = "auto", Internal extends boolean = false>(handler: Handler<Args, Result, Inner> & Mark<Kind, Internal>): Handler<Args, Promise<Awaited<Result>>, Context> & Mark<Kind, Internal>;
    /** For types alone: it is no function that callers could name. */
    readonly "~ferry"?: "middleware";
}
/**
 * A wrapper of handlers. It may return without calling `next`, change `ctx`, or hand another one to `next`; wrappers nest
 * (FUN-04). What it wraps keeps its kind. `Inner` is the context that it hands on, where that is another one:
 * `createMiddleware<Context, Context & { team: Team }>(…)`.
 */
export declare function createMiddleware<Context = FerryContext, Inner = Context>(middleware: Middleware<Context>): Wrapper<Context, Inner>;
