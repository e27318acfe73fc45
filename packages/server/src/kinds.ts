import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { FerryContext } from "./types.ts";

/** `auto` is a plain export: it reads or writes, as it turns out. */
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

/** What Ferry calls: the context, and the arguments of the caller. */
export type Handler<Args, Result, Context = FerryContext> = (ctx: Context, args: Args) => Result;

/** How a function was declared, for types alone: no value has this member. */
export interface Mark<Kind extends FunctionKind = FunctionKind, Internal extends boolean = boolean> {
  readonly "~ferry"?: { kind: Kind; internal: Internal };
}

/** A handler whose arguments are checked by a Standard Schema validator (zod, valibot, arktype, …). */
export interface Checked<S extends StandardSchemaV1, Result, Context = FerryContext> {
  args: S;
  handler: Handler<StandardSchemaV1.InferOutput<S>, Result, Context>;
}

/** A handler of the caller's own arguments: what a validator takes in. */
type CheckedHandler<S extends StandardSchemaV1, Result, Context> =
  Handler<StandardSchemaV1.InferInput<S>, Result | Promise<Awaited<Result>>, Context>;

/** Makes a function of one kind of a handler, or of `{ args, handler }`. */
export interface Declare<Kind extends FunctionKind> {
  <S extends StandardSchemaV1, Result, Context = FerryContext>(
    checked: Checked<S, Result, Context>,
  ): CheckedHandler<S, Result, Context> & Mark<Kind, false>;
  <Args, Result, Context = FerryContext, Internal extends boolean = false>(
    handler: Handler<Args, Result, Context> & Mark<FunctionKind, Internal>,
  ): Handler<Args, Result, Context> & Mark<Kind, Internal>;
}

/** Hides a function from callers over the wire; what it wraps keeps its kind. */
export interface DeclareInternal {
  <S extends StandardSchemaV1, Result, Context = FerryContext>(
    checked: Checked<S, Result, Context>,
  ): CheckedHandler<S, Result, Context> & Mark<"auto", true>;
  <Args, Result, Context = FerryContext, Kind extends FunctionKind = "auto">(
    handler: Handler<Args, Result, Context> & Mark<Kind>,
  ): Handler<Args, Result, Context> & Mark<Kind, true>;
}

function declarer(change: (how: Declared) => Declared): any {
  return (given: any) => {
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
  };
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
export const query: Declare<"query"> = declarer((how) => ({ ...how, kind: "query" }));
/** Writes: holds the database's writer from its first statement on. */
export const mutation: Declare<"mutation"> = declarer((how) => ({ ...how, kind: "mutation" }));
/** Not one transaction: each statement, and each `ctx.db.transaction`, commits alone. */
export const action: Declare<"action"> = declarer((how) => ({ ...how, kind: "action" }));
/** Not for callers over the wire. */
export const internal: DeclareInternal = declarer((how) => ({ ...how, internal: true }));
