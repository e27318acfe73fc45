import { declare, declaredOf, type Handler, markWrapper } from "./kinds.ts";
import type { FerryContext } from "./types.ts";

/** Goes on to what is wrapped, with the context and arguments as they are or as given. */
export type Next = (ctx?: any, args?: any) => any;
export type Middleware<Context = FerryContext> = (ctx: Context, args: any, next: Next) => any;

/**
 * A wrapper of handlers. It may return without calling `next`, change `ctx`, or hand another one to `next`; wrappers nest
 * (FUN-04). What it wraps keeps its kind.
 */
export function createMiddleware<Context = FerryContext>(
  middleware: Middleware<Context>,
): <Args, Result, Inner = Context>(handler: Handler<Args, Result, Inner>) => Handler<Args, Promise<Awaited<Result>>, Context> {
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
  return wrapper;
}
