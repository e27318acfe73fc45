import { type Handler } from "./kinds.ts";
import type { FerryContext } from "./types.ts";
/** Goes on to what is wrapped, with the context and arguments as they are or as given. */
export type Next = (ctx?: any, args?: any) => any;
export type Middleware<Context = FerryContext> = (ctx: Context, args: any, next: Next) => any;
/**
 * A wrapper of handlers. It may return without calling `next`, change `ctx`, or hand another one to `next`; wrappers nest
 * (FUN-04). What it wraps keeps its kind.
 */
export declare function createMiddleware<Context = FerryContext>(middleware: Middleware<Context>): <Args, Result, Inner = Context>(handler: Handler<Args, Result, Inner>) => Handler<Args, Promise<Awaited<Result>>, Context>;
