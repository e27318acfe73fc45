import { declare, declaredOf, markWrapper } from "./kinds.js";
/**
 * A wrapper of handlers. It may return without calling `next`, change `ctx`, or hand another one to `next`; wrappers nest
 * (FUN-04). What it wraps keeps its kind. `Inner` is the context that it hands on, where that is another one:
 * `createMiddleware<Context, Context & { team: Team }>(…)`.
 */
export function createMiddleware(middleware) {
    const wrapper = (handler) => {
        if (typeof handler !== "function")
            throw new TypeError("A middleware wraps a handler: withAuth((ctx, args) => …).");
        const wrapped = function (ctx, args) {
            const next = (nextCtx = ctx, nextArgs = args) => handler.call(this, nextCtx, nextArgs);
            return middleware.call(this, ctx, args, next);
        };
        Object.defineProperty(wrapped, "name", { value: handler.name, configurable: true });
        return declare(wrapped, declaredOf(handler));
    };
    markWrapper(wrapper);
    return wrapper;
}
