import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { FerryError } from "../../src/functions.ts";
import { Hub } from "./hub.ts";
import { page } from "./page.ts";
import { Proxy } from "./proxy.ts";

let hub: Hub;
let proxy: Proxy;
beforeAll(async () => {
  hub = await Hub.start();
  proxy = await Proxy.start(hub.port);
}, 60_000);
afterEach(() => Object.assign(proxy, { isFrozen: false, dropAnswers: 0, hold: undefined, calls: 0 }));
afterAll(async () => {
  await proxy.end();
  await hub.end();
});

const refusal = async (call: Promise<unknown>) => {
  const error = await call.then(() => undefined, (error: unknown) => error);
  expect(error).toBeInstanceOf(FerryError);
  return error as FerryError;
};
const titles = async () => (await page({ url: hub.url, key: hub.key }).query("listTodos")).map(({ title }) => title);

// Verifies: FUN-74
test("a page calls functions, at the root and below a base path", async () => {
  const client = page({ url: hub.url, key: hub.key });
  const todo = await client.mutate("addTodo", { title: "call" });
  expect(todo).toEqual({ id: todo.id, title: "call", owner: null });
  expect(await client.query("getTodo", { id: todo.id })).toEqual(todo);
  expect(await client.query("nothing")).toBe(undefined);
  expect(await client.query("echo", { "ä/b": ["%", "+ &", null], n: 1.5 })).toEqual({ "ä/b": ["%", "+ &", null], n: 1.5 });
  // More than a URL carries.
  expect(await client.query("echo", { text: "é".repeat(100_000) })).toEqual({ text: "é".repeat(100_000) });
  for (const options of [{ url: `${hub.url}/v1/databases/${hub.database}/`, key: hub.key }, { url: hub.url, key: hub.key, database: "app" }]) {
    expect(await page(options).query("getTodo", { id: todo.id })).toEqual(todo);
  }
  for (const url of ["", "hub.example.com", "ftp://hub"]) {
    expect(() => page({ url })).toThrow(`ferry: url is ${JSON.stringify(url)}: createClient needs the hub's address, like https://hub.example.com`);
  }
});

// Verifies: FUN-74
test("errors carry the hub's own message, code and request id", async () => {
  const client = page({ url: hub.url, key: hub.key });
  const conflict = await refusal(client.mutate("fail", { message: "CONFLICT: taken" }));
  expect(conflict).toMatchObject({ status: 409, code: "CONFLICT", message: "CONFLICT: taken", retryable: false, requestId: expect.stringMatching(/.{8}/) });
  expect(await refusal(client.mutate("fail", { message: "UNAVAILABLE: later" }))).toMatchObject({ status: 503, retryable: true });
  expect(await refusal(client.mutate("fail", { message: "plain" }))).toMatchObject({ status: 500, code: "INTERNAL", message: "plain" });
  expect(await refusal(client.query("missing" as "mine"))).toMatchObject({ status: 404, message: 'NOT_FOUND: Function "missing" does not exist.' });
  await client.mutate("addTodo", { title: "first", owner: "unique" });
  expect((await refusal(client.mutate("addTodo", { title: "second", owner: "unique" }))).message).toContain("UNIQUE constraint failed: todos.owner");
  const stranger = await refusal(page({ url: hub.url, key: "fy_pk_aaaaaaaaaaaaaaaaaaaaaaaaaa" }).query("mine"));
  expect(stranger).toMatchObject({ status: 401, code: "UNAUTHORIZED", retryable: false });
  expect(await titles()).not.toContain("never");
});

// A read goes by GET, which the hub lets write nothing: whatever is tried again happens once.
// Verifies: FUN-74, FUN-03
test("a read that would write is refused", async () => {
  const client = page({ url: hub.url, key: hub.key });
  const refused = await refusal(client.query("addTodo" as "mine", { title: "by GET" } as never));
  expect(refused).toMatchObject({ status: 405, code: "METHOD_NOT_ALLOWED", message: 'METHOD_NOT_ALLOWED: Function "addTodo" writes; call it with POST.' });
  expect(await titles()).not.toContain("by GET");
});

// Verifies: FUN-74
test("what a function warns of is told", async () => {
  const warnings: string[][] = [];
  await page({ url: hub.url, key: hub.key, onWarning: (...warning) => warnings.push(warning) }).query("many");
  expect(warnings).toEqual([["Query limit of 5000 overridden to 1000.", "many"]]);
});

// Verifies: FUN-74
test("a call ends after its time, or when it is told to", async () => {
  proxy.isFrozen = true;
  const client = page({ url: proxy.url, key: hub.key, timeoutMs: 300 });
  expect(await refusal(client.mutate("touch"))).toMatchObject({
    status: 0, code: "TIMEOUT", retryable: true, message: "ferry: no answer of /rpc/touch within 300 ms (timeoutMs)",
  });
  const abort = new AbortController();
  const call = page({ url: proxy.url, key: hub.key }).query("mine", {}, { signal: abort.signal });
  abort.abort();
  await expect(call).rejects.toMatchObject({ name: "AbortError" });
});

// Verifies: FUN-74
test("a read goes on when the hub is back", async () => {
  const client = page({ url: hub.url, key: hub.key });
  const before = await client.query("countTodos");
  await hub.kill();
  const read = client.query("countTodos");
  const write = await refusal(client.mutate("addTodo", { title: "offline" }));
  expect(write).toMatchObject({ status: 0, code: "OFFLINE", retryable: true });
  await hub.start();
  expect(await read).toBe(before);
});

// Verifies: FUN-74, FUN-18
test("a write whose answer is lost is sent again only with an idempotency key, and done once", async () => {
  const client = page({ url: proxy.url, key: hub.key });
  proxy.dropAnswers = 1;
  expect(await refusal(client.mutate("addTodo", { title: "sent once" }))).toMatchObject({ code: "OFFLINE" });
  expect(proxy.calls).toBe(1);
  proxy.dropAnswers = 2;
  const todo = await client.mutate("addTodo", { title: "tried again" }, { idempotencyKey: true });
  expect(proxy.calls).toBe(4);
  const all = await titles();
  expect(all.filter((title) => title === "tried again")).toHaveLength(1);
  expect(all.filter((title) => title === "sent once")).toHaveLength(1);
  const again = await client.mutate("addTodo", { title: "own key" }, { idempotencyKey: "k1" });
  expect(await client.mutate("addTodo", { title: "own key" }, { idempotencyKey: "k1" })).toEqual(again);
  expect(todo.title).toBe("tried again");
});

// Its first statements would be committed twice.
// Verifies: FUN-74
test("a function that throws UNAUTHORIZED is not called again with another token", async () => {
  let asked = 0;
  const client = page({ url: proxy.url, key: hub.key, getToken: async () => (asked++, hub.token(`u${asked}`)) });
  expect(await refusal(client.mutate("fail", { message: "UNAUTHORIZED: not yours" }))).toMatchObject({ status: 401, message: "UNAUTHORIZED: not yours" });
  expect([asked, proxy.calls]).toEqual([1, 1]);
});

// Verifies: FUN-74
test("getToken that never answers makes no call last longer", async () => {
  const client = page({ url: hub.url, key: hub.key, timeoutMs: 100, getToken: () => new Promise<string>(() => {}) });
  expect(await refusal(client.query("mine"))).toMatchObject({ code: "TIMEOUT" });
  await expect(client.query("mine", {}, { signal: AbortSignal.abort(new Error("never mind")) })).rejects.toThrow("never mind");
  expect(await page({ url: hub.url, key: hub.key, timeoutMs: Infinity }).query("mine")).toMatchObject({ sub: null });
});

// Verifies: FUN-74
test("a token that the hub refuses is replaced, once for all calls", async () => {
  const asked: (string | undefined)[] = [];
  const good = await hub.token("ada");
  const getToken = async (refused?: string) => (asked.push(refused), refused ? good : `${good}x`);
  const client = page({ url: hub.url, key: hub.key, getToken });
  const subs = await Promise.all([1, 2, 3].map(() => client.query("mine")));
  expect(subs.map(({ sub }) => sub)).toEqual(["ada", "ada", "ada"]);
  expect(asked).toEqual([undefined, `${good}x`]);
  const bad = page({ url: hub.url, key: hub.key, getToken: () => `${good}x` });
  expect(await refusal(bad.query("mine"))).toMatchObject({ status: 401, code: "UNAUTHORIZED" });
  const failing = page({ url: hub.url, key: hub.key, getToken: () => Promise.reject(new Error("no session")) });
  expect(await refusal(failing.query("mine"))).toMatchObject({ status: 0, code: "TOKEN", message: "ferry: getToken failed: no session" });
});
