import { expect, test } from "vitest";
import { action, createMiddleware, getJwtSigner, internal, mutation, query, verifyJwt } from "../src/index.ts";
import { call, callHook } from "../src/runtime/run.ts";
import { inspect } from "../src/runtime/program.ts";
import { eq } from "../src/schema.ts";
import { request, TestHost } from "./host.ts";
import { filled, runIn } from "./program.ts";
import { posts } from "./schema.ts";

const run = (program: any, name: string, change = {}) => call(program, name, request(change), new TestHost());

// Verifies: FUN-01
test("functions are what is exported by name, and nothing else", async () => {
  const withAuth = createMiddleware((_ctx, _args, next) => next());
  const program = Object.create({ inherited: () => 1 }, {
    getUsers: { value: () => 1, enumerable: true },
    default: { value: () => 1, enumerable: true },
    LIMIT: { value: 7, enumerable: true },
    _helper: { value: () => 1, enumerable: true },
    withAuth: { value: withAuth, enumerable: true },
    wrapped: { value: withAuth(async () => 2), enumerable: true },
  });
  expect(JSON.parse(inspect(program)).functions).toEqual([
    { name: "getUsers", kind: "auto", internal: false }, { name: "wrapped", kind: "auto", internal: false },
  ]);
  for (const name of ["default", "LIMIT", "_helper", "withAuth", "inherited", "constructor", "toString", "nothing"]) {
    await expect(run(program, name)).rejects.toThrow(`NOT_FOUND: Function "${name}" does not exist.`);
  }
  expect(await run(program, "wrapped")).toBe(2);
});

// Verifies: FUN-02
test("kinds are told, and survive middleware", () => {
  const withAuth = createMiddleware((_ctx, _args, next) => next());
  const program = {
    a: query(() => 1), b: mutation(() => 1), c: action({ args: validator(() => ({ value: 1 })), handler: () => 1 }),
    d: internal(mutation(() => 1)), e: mutation(internal(() => 1)), f: withAuth(query(() => 1)), g: () => 1,
  };
  expect(JSON.parse(inspect(program)).functions).toEqual([
    { name: "a", kind: "query", internal: false }, { name: "b", kind: "mutation", internal: false },
    { name: "c", kind: "action", internal: false }, { name: "d", kind: "mutation", internal: true },
    { name: "e", kind: "mutation", internal: true }, { name: "f", kind: "query", internal: false },
    { name: "g", kind: "auto", internal: false },
  ]);
});

function validator(validate: (value: any) => any): any {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

// Verifies: FUN-02
test("arguments are checked, also asynchronously, and arrive as the validator made them", async () => {
  const validate = (value: any) =>
    typeof value.id === "number" ? { value: { id: value.id + 1 } } : { issues: [{ message: "Expected a number", path: ["list", { key: 0 }, "id"] }] };
  const program = {
    sync: query({ args: validator(validate), handler: (_ctx, args: any) => args.id }),
    late: query({ args: validator(async (value) => validate(value)), handler: (_ctx, args: any) => args.id }),
    whole: query({ args: validator(() => ({ issues: [{ message: "Expected an object" }] })), handler: () => 1 }),
  };
  for (const name of ["sync", "late"]) {
    expect(await run(program, name, { args: { id: 1 } })).toBe(2);
    await expect(run(program, name, { args: { id: "x" } })).rejects.toThrow("INVALID: args.list.0.id: Expected a number");
  }
  await expect(run(program, "whole")).rejects.toThrow("INVALID: args: Expected an object");
  expect(() => query({ args: {} as any, handler: () => 1 })).toThrow("Standard Schema");
  expect(() => query(undefined as any)).toThrow("take a handler");
});

// Verifies: FUN-04
test("middleware nests, stops, and changes the context", async () => {
  const order: string[] = [];
  const outer = createMiddleware(async (ctx: any, _args, next) => {
    order.push("outer");
    ctx.set("role", "admin");
    ctx.user = { sub: "replaced" };
    const result = await next();
    order.push("after");
    return `${result}!`;
  });
  const inner = createMiddleware((ctx: any, args, next) => {
    order.push(`inner ${ctx.get("role")}`);
    return args.stop ? "stopped" : next({ ...ctx, extra: 7 }, { name: args.name.toUpperCase() });
  });
  const program = { hello: outer(inner((ctx: any, args: any) => `${args.name} ${ctx.extra} ${ctx.user.sub} ${ctx.get("role")}`)) };
  expect(await run(program, "hello", { args: { name: "ann" } })).toBe("ANN 7 replaced admin!");
  expect(await run(program, "hello", { args: { stop: true } })).toBe("stopped!");
  expect(order).toEqual(["outer", "inner admin", "after", "outer", "inner admin", "after"]);
});

// Verifies: FUN-05, FUN-28
test("the context has what the specification lists, and tells what was used", async () => {
  const host = filled();
  await runIn(host, async (ctx) => {
    expect(Object.keys(ctx).sort()).toEqual([
      "db", "env", "events", "get", "headers", "invalidate", "log", "ops", "owner", "records", "requestId", "seq", "set", "signJwt",
      "subscribeTo", "unsafeRawDb", "user",
    ]);
    expect(host.usedThings).toEqual([]);
    const { headers } = ctx;
    expect(host.usedThings).toEqual([]);
    expect(headers["x-a"]).toBe("1");
    expect(Object.keys(headers)).toEqual(["x-a"]);
    expect(ctx.user).toBeNull();
    expect([...new Set(host.usedThings)]).toEqual(["headers", "user"]);
    expect([ctx.env.SECRET, ctx.requestId, ctx.seq, ctx.signJwt]).toEqual(["s", "r1", 41, null]);
    ctx.log("a", { b: 1 }, 2n);
    ctx.log.error(new Map([["k", 1]]));
    ctx.subscribeTo("one");
    ctx.invalidate(["two", "three"]);
    expect(ctx.records.put("tasks", "t1", { title: "x" })).toEqual({ ok: true });
    ctx.records.delete("tasks", "t1");
    ctx.events.append("store", { name: "todoCreated", args: { id: 1 } });
    ctx.ops.append([{ op: 1 }]);
  }, { headers: { "x-a": "1" }, env: { SECRET: "s" } });
  expect(host.logged).toEqual(['info: a {"b":1} 2n', 'error: {"k":1}']);
  expect([host.subscribed, host.invalidated]).toEqual([["one"], ["two", "three"]]);
  expect(host.asked).toEqual([
    ["recordsPut", "tasks", "t1", '{"title":"x"}'], ["recordsDelete", "tasks", "t1"],
    ["eventsAppend", "store", "todoCreated", '{"id":1}'], ["opsAppend", '[{"op":1}]'],
  ]);
});

// Verifies: FUN-55
test("tokens are signed and verified by the hub", async () => {
  const host = new TestHost();
  const program = {
    sign: (ctx: any) => ctx.signJwt({ sub: "a" }),
    signer: () => getJwtSigner()!({ sub: "b" }, "2d"),
    none: () => getJwtSigner(),
    good: () => verifyJwt("good", {}, { issuer: "i" }),
    bad: () => verifyJwt("bad"),
  };
  expect(await call(program, "sign", request({ canSign: true }), host)).toBe('signed {"sub":"a"} for 1h');
  expect(await call(program, "signer", request({ canSign: true }), host)).toBe('signed {"sub":"b"} for 2d');
  expect(await call(program, "none", request(), host)).toBeNull();
  expect(await call(program, "good", request(), host)).toEqual({ ok: true, payload: { issuer: "i" } });
  expect(await call(program, "bad", request(), host)).toEqual({ ok: false, error: "Token expired" });
  await expect(verifyJwt("good")).rejects.toThrow("works only while a function runs");
});

// Verifies: FUN-85
test("hooks get their arguments, and a context but for validatePayload", async () => {
  const host = filled();
  const program = {
    _ferry_hooks: {
      validatePayload: (...args: unknown[]) => args.length,
      onPush: (message: any, ctx: any) => ctx.db.select().from(posts).where(eq(posts.id, message.id)).get().title,
    },
  };
  expect(JSON.parse(inspect(program)).hooks).toEqual(["validatePayload", "onPush"]);
  expect(await callHook(program, "validatePayload", request({ args: [{}, {}] }), host)).toBe(2);
  expect(await callHook(program, "onPush", request({ args: [{ id: 2 }] }), host)).toBe("Post of 2");
  expect(await call(program, "hooks:onPush", request({ args: [{ id: 3 }] }), host)).toBe("Post of 3");
  await expect(callHook(program, "onPull", request({ args: [] }), host)).rejects.toThrow('Hook "onPull" does not exist');
});
