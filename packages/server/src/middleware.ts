import { declare, declaredOf, type FunctionKind, type Handler, type Mark, markWrapper } from "./kinds.ts";
import type { FerryContext } from "./types.ts";

/** Goes on to what is wrapped, with the context and arguments as they are or as given. */
export type Next = (ctx?: any, args?: any) => any;
/** Calls `next` or not; what it returns is the answer. */
export type Middleware<Context = FerryContext> = (ctx: Context, args: any, next: Next) => any;

/** Wraps handlers that take `Inner`, so that they can be called with `Context`. */
export interface Wrapper<Context, Inner> {
  <Args, Result, Kind extends FunctionKind = "auto", Internal extends boolean = false>(
    handler: Handler<Args, Result, Inner> & Mark<Kind, Internal>,
  ): Handler<Args, Promise<Awaited<Result>>, Context> & Mark<Kind, Internal>;
  /** For types alone: it is no function that callers could name. */
  readonly "~ferry"?: "middleware";
}

/**
 * A wrapper of handlers. It may return without calling `next`, change `ctx`, or hand another one to `next`; wrappers nest
 * (FUN-04). What it wraps keeps its kind. `Inner` is the context that it hands on, where that is another one:
 * `createMiddleware<Context, Context & { team: Team }>(…)`.
 */
export function createMiddleware<Context = FerryContext, Inner = Context>(
  middleware: Middleware<Context>,
): Wrapper<Context, Inner> {
  const wrapper = (handler: any): any => {
    if (typeof handler !== "function") throw new TypeError("A middleware wraps a handler: withAuth((ctx, args) => …).");
    const wrapped = function (this: unknown, ctx: unknown, args: unknown) {
      const next: Next = (nextCtx = ctx, nextArgs = args) => handler.call(this, nextCtx, nextArgs);
      return middleware.call(this, ctx as Context, args, next);
    };
    Object.defineProperty(wrapped, "name", { value: handler.name, configurable: true });
    return declare(wrapped, declaredOf(handler));
  };
  markWrapper(wrapper);
  return wrapper as Wrapper<Context, Inner>;
}
