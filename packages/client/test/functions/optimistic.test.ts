import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import type { FerryClient, MutateOptions, QueryResult } from "../../src/functions.ts";
import { Hub, until } from "./hub.ts";
import { page, type Api, type Todo } from "./page.ts";
import { Proxy } from "./proxy.ts";

let hub: Hub;
let proxy: Proxy;
const clients: FerryClient<any>[] = [];
beforeAll(async () => {
  hub = await Hub.start();
  proxy = await Proxy.start(hub.port);
}, 60_000);
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  await proxy.end();
  await hub.end();
});

/** A page that shows the list, and each list of titles that it showed. */
async function showing() {
  const client = page({ url: proxy.url, key: hub.key });
  clients.push(client);
  let last: QueryResult<Todo[]> | undefined;
  const seen: string[] = [];
  client.subscribe("listTodos", {}, (result) => {
    last = result;
    seen.push((result.data ?? []).map(({ title }) => title).join());
  });
  await until("the list", () => last?.data);
  seen.length = 0;
  return { client, seen, shown: () => seen.at(-1) ?? "", titles: () => last!.data!.map(({ title }) => title), last: () => last! };
}
const adding = (title: string): MutateOptions<Api> => ({
  optimistic: (cache) => cache.update("listTodos", {}, (todos) => [...todos, { id: -1, title, owner: null }]),
});
/** How often the list showed it at once. */
const times = (lists: string[], title: string) => lists.map((list) => list.split(",").filter((shown) => shown === title).length);

// Verifies: FUN-76
test("a mutation shows at once, and gives way to the hub's result", async () => {
  const { client, titles, seen, last } = await showing();
  const call = client.mutate("addTodo", { title: "at once" }, adding("at once"));
  expect(titles()).toContain("at once");
  const { id } = await call;
  await until("the hub's result", () => last().data!.some((todo) => todo.id === id));
  expect(last().data!.some((todo) => todo.id === -1)).toBe(false);
  expect(new Set(times(seen, "at once"))).toEqual(new Set([1]));
});

// Verifies: FUN-76
test("a mutation that fails is taken back", async () => {
  const { client, titles } = await showing();
  const before = titles();
  const call = client.mutate("fail", { message: "CONFLICT: no" }, adding("rolled back"));
  expect(titles()).toEqual([...before, "rolled back"]);
  await expect(call).rejects.toThrow("CONFLICT: no");
  expect(titles()).toEqual(before);
});

// The result comes by the socket, the answer by HTTP: whichever is first, nothing shows twice.
// Verifies: FUN-76
test("the mutation's answer comes after the result that shows it", async () => {
  const { client, seen, last } = await showing();
  let release!: () => void;
  proxy.hold = new Promise((resolve) => (release = resolve));
  const call = client.mutate("addTodo", { title: "late answer" }, adding("late answer"));
  await until("the commit", async () => (await page({ url: hub.url, key: hub.key }).query("listTodos")).some(({ title }) => title === "late answer"));
  release();
  proxy.hold = undefined;
  await call;
  await until("the hub's result", () => last().data!.every(({ id }) => id !== -1));
  expect(new Set(times(seen, "late answer"))).toEqual(new Set([1]));
});

// Verifies: FUN-76
test("results that come while the answer is long in coming are shown under the update", async () => {
  const { client, titles, last } = await showing();
  let release!: () => void;
  proxy.hold = new Promise((resolve) => (release = resolve));
  const call = client.mutate("addTodo", { title: "mine" }, adding("mine"));
  await page({ url: hub.url, key: hub.key }).mutate("addTodo", { title: "another's" });
  await until("the other's write", () => titles().includes("another's"));
  expect(last().data!.some(({ id }) => id === -1)).toBe(true);
  release();
  proxy.hold = undefined;
  await call;
  expect(titles().filter((title) => title === "mine")).toHaveLength(1);
});

// The hub tells only results that differ: of a mutation that changed nothing nobody would hear.
// Verifies: FUN-76
test("a guess that the hub does not share is gone soon after the answer", async () => {
  const { client, titles } = await showing();
  const before = titles();
  await client.mutate("touch", {}, adding("never was"));
  await until("the guess is gone", () => !titles().includes("never was"));
  expect(titles()).toEqual(before);
});

// Verifies: FUN-76
test("a guess outlives neither a lost connection nor another database", async () => {
  const { client, titles } = await showing();
  await client.mutate("touch", {}, adding("before the cut"));
  proxy.cut();
  await until("the guess is gone", () => !titles().includes("before the cut"));
});

// Verifies: FUN-76
test("several mutations lie over each other, and each gives way or goes on its own", async () => {
  const { client, titles, seen } = await showing();
  const before = titles();
  const calls = [
    client.mutate("addTodo", { title: "m1" }, adding("m1")),
    client.mutate("fail", { message: "CONFLICT: m2" }, adding("m2")),
    client.mutate("addTodo", { title: "m3" }, adding("m3")),
  ];
  expect(titles()).toEqual([...before, "m1", "m2", "m3"]);
  await Promise.allSettled(calls);
  await until("the hub's result", () => !titles().includes("m2") && titles().length === before.length + 2);
  for (const title of ["m1", "m3"]) expect(new Set(times(seen, title).slice(2)), title).toEqual(new Set([1]));
});

// Verifies: FUN-76
test("an update that throws, or of a result that nobody shows, harms nothing", async () => {
  const { client, titles } = await showing();
  const told = vi.spyOn(console, "error").mockImplementation(() => {});
  await client.mutate("addTodo", { title: "unharmed" }, {
    optimistic: (cache) => {
      expect(cache.get("listTodos", {})!.length).toBe(titles().length);
      expect(cache.get("countTodos", {})).toBe(undefined);
      cache.update("countTodos", {}, (count) => count + 1);
      cache.update("listTodos", {}, () => { throw new Error("on purpose"); });
    },
  });
  await until("the hub's result", () => titles().includes("unharmed"));
  expect(told).toHaveBeenCalledWith("ferry: an optimistic update failed", new Error("on purpose"));
  told.mockRestore();
});
