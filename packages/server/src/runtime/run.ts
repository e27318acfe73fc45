import { Call, setCurrentCall } from "../call.ts";
import { relationalSchema, type Schema } from "../database/database.ts";
import { isThenable } from "../database/scope.ts";
import type { Host, Request } from "../host.ts";
import { makeContext } from "./context.ts";
import { functionOf, type Program } from "./program.ts";

const schemas = new WeakMap<object, Schema>();

function schemaOf(program: Program): Schema {
  let schema = schemas.get(program);
  if (!schema) schemas.set(program, schema = relationalSchema({ ...program._ferry_schema }));
  return schema;
}

/** Begins the names of hooks; no function that callers may name has a colon. */
const HOOK = "hooks:";

/** Runs a function of the program, or by `hooks:onPush` one of its hooks. */
export function call(program: Program, name: string, request: Request, host: Host): Promise<unknown> {
  if (name.startsWith(HOOK)) return callHook(program, name.slice(HOOK.length), request, host);
  const handler = functionOf(program, name);
  if (!handler) return Promise.reject(new Error(`NOT_FOUND: Function "${name}" does not exist.`));
  return run(program, request, host, (ctx) => handler(ctx, request.args));
}

/** Runs a hook of the program: `request.args` are its arguments; all but `validatePayload` get a context after them, with the store's id. */
export function callHook(program: Program, name: string, request: Request, host: Host): Promise<unknown> {
  const hook = program._ferry_hooks?.[name];
  if (typeof hook !== "function") return Promise.reject(new Error(`NOT_FOUND: Hook "${name}" does not exist.`));
  const args = request.args as unknown[];
  if (name === "validatePayload") return run(program, request, host, () => hook(...args));
  const { store: storeId } = args[0] as { store: string };
  return run(program, request, host, (ctx) => hook(...args, Object.assign(ctx as object, { storeId })));
}

let isClosed = false;

/** From the first call on nothing can be added to what all objects inherit: it would stay for the calls of others. */
function closePrototypes(): void {
  if (isClosed) return;
  isClosed = true;
  for (const prototype of [Object.prototype, Function.prototype, Array.prototype]) Object.preventExtensions(prototype);
}

function run(program: Program, request: Request, host: Host, start: (ctx: unknown) => unknown): Promise<unknown> {
  const call = new Call(host, request);
  setCurrentCall(call);
  closePrototypes();
  let result: unknown;
  try {
    result = start(makeContext(call, schemaOf(program)));
    if (isThenable(result)) return settled(call, result);
    call.finish();
  } catch (error) {
    call.end();
    return Promise.reject(error);
  }
  return Promise.resolve(result);
}

function settled(call: Call, result: PromiseLike<unknown>): Promise<unknown> {
  return Promise.resolve(result).then(
    (value) => {
      call.finish();
      return value;
    },
    (error: unknown) => {
      call.end();
      throw error;
    },
  );
}
