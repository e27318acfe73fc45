const declared = new WeakMap();
/** Results of `createMiddleware`, which wrap handlers and are none. */
const wrappers = new WeakSet();
export function declaredOf(handler) {
    return declared.get(handler) ?? { kind: "auto", internal: false };
}
export function declare(handler, how) {
    declared.set(handler, how);
    return handler;
}
export function markWrapper(wrapper) {
    wrappers.add(wrapper);
}
export function isWrapper(value) {
    return wrappers.has(value);
}
function declarer(change) {
    return (given) => {
        const handler = typeof given === "function" ? given : given?.handler;
        if (typeof handler !== "function")
            throw new TypeError("query(), mutation(), action() and internal() take a handler or { args, handler }.");
        const how = change(declaredOf(handler));
        const wrapped = typeof given === "function"
            ? function (ctx, args) {
                return handler.call(this, ctx, args);
            }
            : checked(given.args, handler);
        Object.defineProperty(wrapped, "name", { value: handler.name, configurable: true });
        return declare(wrapped, how);
    };
}
function checked(validator, handler) {
    const standard = validator?.["~standard"];
    if (typeof standard?.validate !== "function") {
        throw new TypeError("`args` must be a Standard Schema validator, such as one of zod, valibot or arktype.");
    }
    return function (ctx, args) {
        const result = standard.validate(args);
        return result instanceof Promise
            ? result.then((checked) => handler.call(this, ctx, valid(checked)))
            : handler.call(this, ctx, valid(result));
    };
}
function valid(result) {
    if (!result.issues)
        return result.value;
    const [issue] = result.issues;
    const path = (issue?.path ?? []).map((part) => `.${String(typeof part === "object" ? part.key : part)}`).join("");
    throw new Error(`INVALID: args${path}: ${issue?.message ?? "not valid"}`);
}
/** Never writes; its results stay fresh in clients (FUN-02). */
export const query = declarer((how) => ({ ...how, kind: "query" }));
/** Writes: holds the database's writer from its first statement on. */
export const mutation = declarer((how) => ({ ...how, kind: "mutation" }));
/** Not one transaction: each statement, and each `ctx.db.transaction`, commits alone. */
export const action = declarer((how) => ({ ...how, kind: "action" }));
/** Not for callers over the wire. */
export const internal = declarer((how) => ({ ...how, internal: true }));
