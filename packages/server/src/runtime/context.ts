import type { Call } from "../call.ts";
import { type Database, openDatabase, type Schema } from "../database/database.ts";
import { formatted } from "./format.ts";

function nameList(names: unknown): string[] {
  return (Array.isArray(names) ? names : [names]).map(String);
}

function makeLog(call: Call): any {
  const at = (level: "debug" | "info" | "warn" | "error") => (...values: unknown[]) => call.host.log(level, formatted(values));
  return Object.assign(at("info"), { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") });
}

/** Reading a header makes the result depend on headers; handing the object on does not. */
function trackedHeaders(call: Call): Record<string, string> {
  const used = () => call.host.used("headers");
  return new Proxy({ ...call.request.headers }, {
    get(target, name, receiver) {
      used();
      return Reflect.get(target, name, receiver);
    },
    has(target, name) {
      used();
      return Reflect.has(target, name);
    },
    ownKeys(target) {
      used();
      return Reflect.ownKeys(target);
    },
  });
}

function models(call: Call) {
  const ask = (what: string, ...args: Parameters<Call["host"]["model"]>) => {
    call.use(what);
    return JSON.parse(call.host.model(...args)) as unknown;
  };
  return {
    records: {
      put: (collection: string, id: string, fields: object) =>
        ask("ctx.records", "recordsPut", String(collection), String(id), JSON.stringify(fields)),
      delete: (collection: string, id: string) => ask("ctx.records", "recordsDelete", String(collection), String(id)),
    },
    events: {
      append: (store: string, event: { name: string; args: unknown }) =>
        ask("ctx.events", "eventsAppend", String(store), String(event.name), JSON.stringify(event.args ?? {})),
    },
    ops: { append: (ops: unknown[]) => ask("ctx.ops", "opsAppend", JSON.stringify(ops)) },
  };
}

function makeSigner(call: Call) {
  return async (claims: object, expiresIn = "1h"): Promise<string> => {
    call.use("ctx.signJwt");
    call.host.used("sign");
    return call.host.sign(JSON.stringify(claims), expiresIn);
  };
}

/** Parts that few calls need, made when they are asked for. Own and enumerable, so that `{ ...ctx }` has them. */
export function makeContext(call: Call, schema: Schema): any {
  const { request, host } = call;
  let db: Database | undefined;
  let raw: Database | undefined;
  let headers: Record<string, string> | undefined;
  let variables: Map<string, unknown> | undefined;
  let log: any;
  let model: ReturnType<typeof models> | undefined;
  const own = (name: string, value: unknown) =>
    Object.defineProperty(ctx, name, { value, writable: true, enumerable: true, configurable: true });
  const ctx = {
    get db() {
      return db ??= openDatabase(call, schema, true);
    },
    set db(value) {
      own("db", value);
    },
    get unsafeRawDb() {
      return raw ??= openDatabase(call, schema, false);
    },
    set unsafeRawDb(value) {
      own("unsafeRawDb", value);
    },
    get headers() {
      return headers ??= trackedHeaders(call);
    },
    set headers(value) {
      own("headers", value);
    },
    get user(): any {
      return call.user;
    },
    set user(value) {
      own("user", value);
    },
    get owner(): string {
      return call.owner;
    },
    set owner(value) {
      own("owner", value);
    },
    get log() {
      return log ??= makeLog(call);
    },
    get records() {
      return (model ??= models(call)).records;
    },
    get events() {
      return (model ??= models(call)).events;
    },
    get ops() {
      return (model ??= models(call)).ops;
    },
    get seq() {
      return host.seq();
    },
    env: request.env,
    get requestId() {
      // Another one for each call, as the time is.
      host.used("clock");
      return request.requestId;
    },
    set requestId(value) {
      own("requestId", value);
    },
    signJwt: request.canSign ? makeSigner(call) : null,
    subscribeTo(names: string | string[]) {
      call.use("ctx.subscribeTo");
      host.subscribeTo(nameList(names));
    },
    invalidate(names: string | string[]) {
      call.use("ctx.invalidate");
      host.invalidate(nameList(names));
    },
    set(name: string, value: unknown) {
      (variables ??= new Map()).set(name, value);
    },
    get(name: string) {
      return variables?.get(name);
    },
  };
  return ctx;
}
