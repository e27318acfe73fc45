import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import type { FerryClient, QueryResult, Status } from "../../src/functions.ts";
import { FUNCTIONS, Hub, until } from "./hub.ts";
import { counting, page, type Api, type Todo } from "./page.ts";
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
  vi.unstubAllGlobals();
  Object.assign(proxy, { isFrozen: false, dropAnswers: 0, hold: undefined, calls: 0 });
});
afterAll(async () => {
  await proxy.end();
  await hub.end();
});

function opened(options: Partial<Parameters<typeof page>[0]> = {}): FerryClient<Api> {
  const client = page({ url: hub.url, key: hub.key, ...options });
  clients.push(client);
  return client;
}

/** All that a subscription was told. */
function watched<T>(subscribe: (listener: (result: QueryResult<T>) => void) => () => void) {
  const seen: QueryResult<T>[] = [];
  const end = subscribe((result) => seen.push(result));
  return { seen, end, last: () => seen.at(-1)! };
}
const list = (client: FerryClient<Api>) => watched<Todo[]>((listener) => client.subscribe("listTodos", {}, listener));
const mine = (client: FerryClient<Api>) => watched<Api["mine"]["result"]>((listener) => client.subscribe("mine", {}, listener));
const titles = ({ data }: QueryResult<Todo[]>) => data?.map(({ title }) => title) ?? [];

// Verifies: FUN-74, FUN-36
test("two pages: one writes, the other shows it", async () => {
  const [one, two] = [opened(), opened()];
  const first = list(one);
  expect(first.seen).toEqual([{ data: undefined, error: undefined, isLoading: true, isStale: true }]);
  await until("the first result", () => !first.last().isLoading);
  await two.mutate("addTodo", { title: "of two" });
  await until("the write", () => titles(first.last()).includes("of two"));
  expect(first.last()).toMatchObject({ isLoading: false, isStale: false, error: undefined });
  expect(one.status.get()).toEqual({ state: "live" });
  expect(two.status.get(), "nothing is subscribed to").toEqual({ state: "idle" });
});

// One component's end silenced its twin.
// Verifies: FUN-75
test("who shows the same query shares one subscription, until the last one ends", async () => {
  const { counted, WebSocket } = counting();
  const [client, other] = [opened({ WebSocket }), opened()];
  const [first, twin] = [list(client), watched<Todo[]>((listener) => client.subscribe("listTodos", {}, listener))];
  await until("both results", () => first.last().data && twin.last().data);
  expect(twin.last().data, "one result for both").toBe(first.last().data);
  first.end();
  first.end();
  await other.mutate("addTodo", { title: "for the twin" });
  await until("the twin is told", () => titles(twin.last()).includes("for the twin"));
  expect(titles(first.last())).not.toContain("for the twin");
  twin.end();
  await until("nothing is subscribed to", () => client.status.get().state === "idle" && counted.open === 0);
  expect(counted.opened).toBe(1);
  expect(client.observe("listTodos", {}).get().isLoading).toBe(true);
});

// Verifies: FUN-75
test("arguments that are equal are one query, whatever the order of their members", async () => {
  const client = opened();
  const [one, two] = ([{ a: 1, b: { c: [1], d: 2 } }, { b: { d: 2, c: [1], e: undefined }, a: 1 }] as const).map((args) =>
    watched<unknown>((listener) => client.subscribe("echo", args, listener)));
  await until("both results", () => one!.last().data && two!.last().data);
  expect(one!.last().data).toBe(two!.last().data);
});

// Verifies: FUN-74, FUN-25
test("the hub is killed and started again: pages show that, and go on", async () => {
  const [client, other] = [opened(), opened()];
  const states: Status["state"][] = [];
  client.status.subscribe(({ state }) => states.push(state));
  const shown = list(client);
  const still = watched<unknown>((listener) => client.subscribe("echo", { still: true }, listener));
  await until("the first results", () => shown.last().data && still.last().data);
  const before = still.last().data;
  await hub.kill();
  await until("the page knows", () => client.status.get().state === "offline" && shown.last().isStale);
  expect(shown.last().data, "what is known is shown").toBeDefined();
  expect(client.status.get()).toMatchObject({ code: "OFFLINE", message: expect.stringContaining(hub.url) });
  await hub.start();
  await other.mutate("addTodo", { title: "after the restart" });
  await until("the page goes on", () => titles(shown.last()).includes("after the restart") && !shown.last().isStale);
  await until("what did not change is fresh", () => !still.last().isStale);
  expect(still.last().data, "the same object").toBe(before);
  expect(states).toEqual(["idle", "connecting", "live", "connecting", "offline", "live"]);
}, 60_000);

// Verifies: FUN-74
test("a connection that hangs is left within ten seconds when the page is looked at again", async () => {
  const events = new EventTarget();
  vi.stubGlobal("addEventListener", events.addEventListener.bind(events));
  const [client, other] = [opened({ url: proxy.url }), opened()];
  const shown = list(client);
  await until("the first result", () => shown.last().data);
  proxy.freeze();
  await other.mutate("addTodo", { title: "behind a hanging connection" });
  events.dispatchEvent(new Event("online"));
  await until("the page goes on", () => titles(shown.last()).includes("behind a hanging connection"));
}, 60_000);

// Verifies: FUN-74
test("a token is renewed before it expires, and no subscription notices", async () => {
  const { counted, WebSocket } = counting();
  const asked: (string | undefined)[] = [];
  const getToken = async (refused?: string) => (asked.push(refused), hub.token("ada", "4s"));
  const client = opened({ getToken, WebSocket });
  const shown = mine(client);
  await until("the user's result", () => shown.last().data?.sub === "ada");
  await until("two renewals", () => asked.length === 3);
  await opened().mutate("addTodo", { title: "after renewals" });
  const count = await client.query("countTodos");
  await until("it is still kept fresh", () => shown.last().data?.count === count);
  expect(counted.opened, "one socket for all").toBe(1);
  expect(shown.seen.every(({ isLoading }, at) => isLoading === (at === 0))).toBe(true);
  expect(shown.seen.some(({ error }) => error)).toBe(false);
}, 60_000);

// Verifies: FUN-74
test("getToken that fails or gives the same expired token: the page says so, and goes on when it is mended", async () => {
  const old = await hub.token("ada", "1s");
  let give: () => Promise<string> = async () => old;
  const client = opened({ getToken: () => give() });
  const shown = mine(client);
  await until("the user's result", () => shown.last().data?.sub === "ada");
  // The hub takes it five seconds longer than it says.
  await until("the hub has ended the socket", () => client.status.get().state === "error");
  expect(client.status.get().code).toBe("UNAUTHORIZED");
  expect(shown.last()).toMatchObject({ data: { sub: "ada" }, isStale: true });
  give = () => Promise.reject(new Error("the session is over"));
  await until("it is told", () => client.status.get().message === "ferry: getToken failed: the session is over");
  give = () => hub.token("ada");
  await until("the page goes on", () => client.status.get().state === "live" && !shown.last().isStale);
}, 60_000);

// Verifies: FUN-75
test("another user sees nothing of the one before", async () => {
  let sub: string | undefined = "ada";
  const client = opened({ getToken: () => (sub ? hub.token(sub) : null) });
  const shown = mine(client);
  await until("Ada's result", () => shown.last().data?.sub === "ada");
  sub = "bob";
  await client.refreshToken();
  expect(shown.last()).toMatchObject({ data: undefined, isLoading: true });
  await until("Bob's result", () => shown.last().data?.sub === "bob");
  sub = undefined;
  await client.refreshToken();
  await until("nobody's result", () => shown.last().data?.sub === null);
  const subs = shown.seen.map(({ data }) => (data === undefined ? "-" : data.sub));
  expect(subs.filter((name, at) => name !== subs[at - 1])).toEqual(["-", "ada", "-", "bob", "-", null]);
  // Another token of the same user changes nothing.
  sub = "cy";
  await client.refreshToken();
  await until("Cy's result", () => shown.last().data?.sub === "cy");
  const told = shown.seen.length;
  await client.refreshToken();
  await until("the hub knows the new token", () => shown.last().data?.sub === "cy");
  expect(shown.seen.slice(told).every(({ data }) => data?.sub === "cy")).toBe(true);
}, 60_000);

// Verifies: FUN-36
test("a result that is too large for the socket is fetched, again at each change", async () => {
  const client = opened();
  const shown = watched<Api["large"]["result"]>((listener) => client.subscribe("large", { bytes: 400_000 }, listener));
  const first = await until("the first result", () => shown.last().data);
  expect(first.text).toHaveLength(400_000);
  await opened().mutate("addTodo", { title: "beside it" });
  await until("the next one", () => shown.last().data?.count === first.count + 1);
  expect(shown.last()).toMatchObject({ isStale: false, error: undefined });
});

// Verifies: FUN-29
test("a deployment without the function is told, and one with it again goes on", async () => {
  const client = opened();
  const shown = list(client);
  await until("the first result", () => shown.last().data);
  await hub.deploy(FUNCTIONS.replace("export const listTodos", "const listTodos"));
  await until("the error", () => shown.last().error?.code === "NOT_FOUND");
  expect(shown.last()).toMatchObject({ isStale: true, isLoading: false });
  expect(shown.last().data, "what was shown stays").toBeDefined();
  const late = list(opened());
  await until("the error for who comes later", () => late.last().error?.message === 'NOT_FOUND: Function "listTodos" does not exist.');
  await hub.deploy(FUNCTIONS);
  for (const { last } of [shown, late]) await until("the result is back", () => last().data && !last().error && !last().isStale);
}, 60_000);

// Verifies: FUN-74
test("a query that fails shows why, until there is a result", async () => {
  const client = opened();
  const shown = watched<Todo>((listener) => client.subscribe("needTodo", { title: "late" }, listener));
  await until("the error", () => shown.last().error);
  expect(shown.last()).toMatchObject({ data: undefined, isLoading: false, error: { status: 404, message: "NOT_FOUND: no todo late" } });
  await opened().mutate("addTodo", { title: "late" });
  await until("the result", () => shown.last().data?.title === "late");
  expect(shown.last().error).toBe(undefined);
}, 60_000);

// Verifies: FUN-74, FUN-26
test("2,000 queries of one page are kept fresh over four sockets", async () => {
  const { counted, WebSocket } = counting();
  const client = opened({ WebSocket });
  const { id } = await client.mutate("addTodo", { title: "one of many" });
  const begun = performance.now();
  const all = Array.from({ length: 2000 }, (_, at) => watched<Todo | null>((listener) => client.subscribe("getTodo", { id: id + at }, listener)));
  await until("all results", () => all.every(({ last }) => !last().isStale));
  const first = performance.now() - begun;
  expect(counted).toEqual({ opened: 4, open: 4 });
  const { id: next } = await opened().mutate("addTodo", { title: "the second" });
  await until("the change", () => all[next - id]!.last().data?.title === "the second");
  const told = all.map(({ seen }) => seen.length);
  console.log(`2,000 subscriptions: first results after ${Math.round(first)} ms; the change of one after ${Math.round(performance.now() - begun - first)} ms`);
  expect(Math.max(...told.filter((_, at) => at !== next - id))).toBe(2);
  for (const { end } of all) end();
  await until("nothing is subscribed to", () => counted.open === 0);
}, 60_000);

// Verifies: FUN-74, FUN-26
test("a hub that takes fewer queries per socket is asked on several, and what none takes says so", async () => {
  const small = await Hub.start("--functions-subscriptions=5", "--functions-sockets=8");
  try {
    const { counted, WebSocket } = counting();
    const client = page({ url: small.url, key: small.key, WebSocket });
    clients.push(client);
    const all = Array.from({ length: 41 }, (_, id) => watched<Todo | null>((listener) => client.subscribe("getTodo", { id }, listener)));
    await until("all results but one", () => all.filter(({ last }) => !last().isStale).length === 40);
    const left = all.filter(({ last }) => last().isStale);
    await until("the one that is left says why", () => left[0]!.last().error?.code === "RATE_LIMITED");
    expect(counted.open).toBe(8);
    const fresh = all.find(({ last }) => !last().isStale)!;
    fresh.end();
    await until("there is room for it", () => !left[0]!.last().isStale);
  } finally {
    await small.end();
  }
}, 60_000);

// The hub ends the oldest socket: pages that opened it again ended the next one, for ever.
// Verifies: FUN-26
test("a hub that takes fewer sockets per session is asked on no more", async () => {
  const small = await Hub.start("--functions-subscriptions=5", "--functions-sockets=2");
  try {
    const { counted, WebSocket } = counting();
    const client = page({ url: small.url, key: small.key, WebSocket });
    clients.push(client);
    const all = Array.from({ length: 14 }, (_, id) => watched<Todo | null>((listener) => client.subscribe("getTodo", { id }, listener)));
    const fresh = () => all.filter(({ last }) => !last().isStale).length;
    await until("as many as there is room for, and the others say why", () =>
      fresh() === 10 && all.filter(({ last }) => last().error?.code === "RATE_LIMITED").length === 4);
    const { opened } = counted;
    await until("what has no place asks again", () => all.some(({ seen }) => seen.filter(({ error }) => error).length > 1));
    expect([counted.open, counted.opened, fresh()]).toEqual([2, opened, 10]);
  } finally {
    await small.end();
  }
}, 60_000);

// Verifies: FUN-36
test("arguments that no frame carries fail alone", async () => {
  const client = opened();
  const shown = list(client);
  const large = watched<unknown>((listener) => client.subscribe("echo", { text: "x".repeat(70_000) }, listener));
  await until("the result of the other", () => shown.last().data);
  expect(large.last()).toMatchObject({ isLoading: false, error: { status: 413, code: "TOO_LARGE" } });
  expect(client.status.get()).toEqual({ state: "live" });
});
