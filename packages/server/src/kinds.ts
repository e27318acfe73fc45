import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { FerryContext } from "./types.ts";

export type FunctionKind = "auto" | "query" | "mutation" | "action";

/** What a declared function is marked with, so that the runtime knows it. */
export interface Declared {
  kind: FunctionKind;
  internal: boolean;
}

const declared = new WeakMap<object, Declared>();
/** Results of `createMiddleware`, which wrap handlers and are none. */
const wrappers = new WeakSet<object>();

export function declaredOf(handler: object): Declared {
  return declared.get(handler) ?? { kind: "auto", internal: false };
}

export function declare<T extends object>(handler: T, how: Declared): T {
  declared.set(handler, how);
  return handler;
}

export function markWrapper(wrapper: object): void {
  wrappers.add(wrapper);
}

export function isWrapper(value: object): boolean {
  return wrappers.has(value);
}

export type Handler<Args, Result, Context = FerryContext> = (ctx: Context, args: Args) => Result;

/** A handler whose arguments are checked by a Standard Schema validator (zod, valibot, arktype, …). */
export interface Checked<S extends StandardSchemaV1, Result, Context = FerryContext> {
  args: S;
  handler: Handler<StandardSchemaV1.InferOutput<S>, Result, Context>;
}

export interface Declare {
  <S extends StandardSchemaV1, Result, Context = FerryContext>(
    checked: Checked<S, Result, Context>,
  ): (ctx: Context, args: StandardSchemaV1.InferInput<S>) => Result | Promise<Awaited<Result>>;
  <Args, Result, Context = FerryContext>(handler: Handler<Args, Result, Context>): Handler<Args, Result, Context>;
}

function declarer(change: (how: Declared) => Declared): Declare {
  return ((given: any) => {
    const handler = typeof given === "function" ? given : given?.handler;
    if (typeof handler !== "function") throw new TypeError("query(), mutation(), action() and internal() take a handler or { args, handler }.");
    const how = change(declaredOf(handler));
    const wrapped = typeof given === "function"
      ? function (this: unknown, ctx: unknown, args: unknown) {
        return handler.call(this, ctx, args);
      }
      : checked(given.args, handler);
    Object.defineProperty(wrapped, "name", { value: handler.name, configurable: true });
    return declare(wrapped, how);
  }) as Declare;
}

function checked(validator: StandardSchemaV1, handler: Handler<any, any, any>) {
  const standard = validator?.["~standard"];
  if (typeof standard?.validate !== "function") {
    throw new TypeError("`args` must be a Standard Schema validator, such as one of zod, valibot or arktype.");
  }
  return function (this: unknown, ctx: unknown, args: unknown): unknown {
    const result = standard.validate(args);
    return result instanceof Promise
      ? result.then((checked) => handler.call(this, ctx, valid(checked)))
      : handler.call(this, ctx, valid(result));
  };
}

function valid(result: StandardSchemaV1.Result<unknown>): unknown {
  if (!result.issues) return result.value;
  const [issue] = result.issues;
  const path = (issue?.path ?? []).map((part) => `.${String(typeof part === "object" ? part.key : part)}`).join("");
  throw new Error(`INVALID: args${path}: ${issue?.message ?? "not valid"}`);
}

/** Never writes; its results stay fresh in clients (FUN-02). */
export const query: Declare = declarer((how) => ({ ...how, kind: "query" }));
/** Writes: holds the database's writer from its first statement on. */
export const mutation: Declare = declarer((how) => ({ ...how, kind: "mutation" }));
/** Not one transaction: each statement, and each `ctx.db.transaction`, commits alone. */
export const action: Declare = declarer((how) => ({ ...how, kind: "action" }));
/** Not for callers over the wire. */
export const internal: Declare = declarer((how) => ({ ...how, internal: true }));
