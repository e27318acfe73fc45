import { createClient, type FerryClient, type QueryResult } from "@ferry/client/functions";
import { Component, StrictMode, Suspense, useEffect, useState, type ReactNode } from "react";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Hub, until } from "../../client/test/functions/hub.ts";
import { Proxy } from "../../client/test/functions/proxy.ts";
import { counting } from "../../client/test/functions/page.ts";
import { FerryProvider, useMutation, useQuery, useStatus, type Mutation } from "../src/index.ts";
import { clear, show } from "./dom.ts";

// The hooks are typed by `Register`; types.test-d.tsx registers other functions.
const query = useQuery as (fn: string, args?: unknown, options?: object) => QueryResult<any>;
const mutation = useMutation as unknown as (fn: string, options?: object) => Mutation<any> & ((args?: object) => Promise<any>);

let hub: Hub;
let client: FerryClient<any>;
const clients: FerryClient<any>[] = [];
beforeAll(async () => {
  hub = await Hub.start();
}, 60_000);
afterEach(() => {
  clear();
  for (const made of clients.splice(0)) made.close();
});
afterAll(() => hub.end());

function opened(options: object = {}): FerryClient<any> {
  const made = createClient<any>({ url: hub.url, key: hub.key, WebSocket: counting().WebSocket, ...options });
  clients.push(made);
  return (client = made);
}
const app = (node: ReactNode) => <StrictMode><FerryProvider client={client}>{node}</FerryProvider></StrictMode>;
const titles = (data: { title: string }[] | undefined) => data?.map(({ title }) => title).join() ?? "-";

const listed: string[] = [];
function List({ name = "list" }: { name?: string }) {
  const { data, isLoading, isStale } = query("listTodos");
  listed.push(`${isLoading} ${titles(data)}`);
  return <p>{name}: {isLoading ? "loading" : titles(data)}{isStale && " (stale)"};</p>;
}

// Verifies: FUN-76
test("a component shows a query, and each change of it", async () => {
  const other = opened();
  const { counted, WebSocket } = counting();
  opened({ WebSocket });
  const page = show(app(<List />));
  await until("the result", () => page.text() === "list: ;");
  expect(listed[0]).toBe("true -");
  await other.mutate("addTodo", { title: "shown" });
  await until("the change", () => page.text() === "list: shown;");
  expect(counted.opened, "rendered twice, subscribed once").toBe(1);
});

// Verifies: FUN-75, FUN-76
test("one of two components goes, the other goes on", async () => {
  const other = opened();
  opened();
  const page = show(app(<><List name="one" /><List name="two" /></>));
  await until("both", () => /one: .*shown;two: .*shown;/.test(page.text()));
  page.again(app(<List name="two" />));
  await until("one is gone", () => !page.text().includes("one"));
  await other.mutate("addTodo", { title: "for two" });
  await until("the change", () => page.text().includes("for two"));
  page.again(app(null));
  await until("nothing is subscribed to", () => client.status.get().state === "idle");
});

// Verifies: FUN-76
test("arguments that change are another query; \"skip\" is none", async () => {
  const { id } = await opened().mutate("addTodo", { title: "by id" });
  const page = show(app(null));
  function Todo({ wanted }: { wanted: number | undefined }) {
    const { data, isLoading } = query("getTodo", wanted === undefined ? "skip" : { id: wanted });
    return <p>{isLoading ? "loading" : (data?.title ?? "none")}</p>;
  }
  page.again(app(<Todo wanted={undefined} />));
  await until("nothing is asked for", () => page.text() === "none");
  expect(client.status.get().state).toBe("idle");
  page.again(app(<Todo wanted={id} />));
  await until("the todo", () => page.text() === "by id");
  page.again(app(<Todo wanted={-5} />));
  await until("another one", () => page.text() === "none");
});

// Verifies: FUN-76
test("with suspense a component waits for its result, and an error goes to the boundary", async () => {
  opened();
  const renderings: unknown[] = [];
  let waited = 0;
  function Waiting() {
    waited++;
    return "waiting";
  }
  function Loaded({ fn, args }: { fn: string; args: object }) {
    const { data } = query(fn, args, { suspense: true });
    renderings.push(data);
    return <p>{JSON.stringify(data)}</p>;
  }
  const page = show(app(<Suspense fallback={<Waiting />}><Loaded fn="echo" args={{ x: 1 }} /></Suspense>));
  await until("the result", () => page.text() === '{"x":1}');
  expect([renderings.every((data) => data !== undefined), waited > 0]).toEqual([true, true]);
  class Boundary extends Component<{ children: ReactNode }, { message?: string }> {
    override state: { message?: string } = {};
    static getDerivedStateFromError(error: Error) {
      return { message: error.message };
    }
    override render() {
      return this.state.message ?? this.props.children;
    }
  }
  const failing = show(app(<Boundary><Suspense fallback="waiting"><Loaded fn="needTodo" args={{ title: "none" }} /></Suspense></Boundary>));
  await until("the error", () => failing.text() === "NOT_FOUND: no todo none");
});

// Verifies: FUN-76
test("components that wait for several results, one after the other, ask for each once", async () => {
  opened();
  const asked: unknown[] = [];
  const { observe } = client;
  client.observe = ((fn: never, args: never) => {
    const store = observe.call(client, fn, args);
    return { ...store, ready: () => (store.get().isLoading && asked.push(args), store.ready()) };
  }) as never;
  function Chain() {
    const all = [1, 2, 3].map((n) => query("echo", { chain: n }, { suspense: true }).data.chain);
    return <p>{all.join()}</p>;
  }
  const page = show(app(<Suspense fallback="waiting"><Chain /><Chain /></Suspense>));
  await until("all of them", () => page.text() === "1,2,31,2,3");
  expect(new Set(asked.map((args) => JSON.stringify(args))).size).toBe(3);
});

// Verifies: FUN-76
test("an optimistic mutation shows at once, its failure is taken back, and its state is told", async () => {
  const proxy = await Proxy.start(hub.port);
  opened({ url: proxy.url });
  const seen: string[] = [];
  let add!: any;
  let fail!: any;
  function Adding() {
    const { data } = query("listTodos");
    const optimistic = (cache: any, { title, message }: { title?: string; message?: string }) =>
      cache.update("listTodos", {}, (todos: object[]) => [...todos, { id: -1, title: title ?? message }]);
    add = mutation("addTodo", { optimistic, retry: true });
    fail = mutation("fail", { optimistic });
    const text = `${titles(data)}${add.isPending || fail.isPending ? " …" : ""} ${fail.error?.code ?? ""}`;
    seen.push(text);
    return <p>{text}</p>;
  }
  const page = show(app(<Adding />));
  await until("the list", () => page.text().includes("shown"));
  let release!: () => void;
  const hold = () => (proxy.hold = new Promise((resolve) => (release = resolve)));
  hold();
  const made = add({ title: "optimistic" });
  await until("it shows, pending", () => /optimistic …/.test(page.text()));
  release();
  expect((await made).id).toBeGreaterThan(0);
  await until("the hub's", () => /optimistic $/.test(page.text()));
  hold();
  const failed = expect(fail({ message: "CONFLICT: no" })).rejects.toThrow("CONFLICT: no");
  await until("it shows, pending", () => /optimistic,CONFLICT: no …/.test(page.text()));
  release();
  await failed;
  await until("the error", () => /optimistic CONFLICT$/.test(page.text()));
  await proxy.end();
  expect(seen.every((text) => text.split("optimistic").length <= 2), "never twice").toBe(true);
});

// Verifies: FUN-76
test("a mutation from a component that is gone ends quietly", async () => {
  opened();
  let add!: any;
  function Gone() {
    add = mutation("addTodo");
    return null;
  }
  const page = show(app(<Gone />));
  await until("it is there", () => add);
  const made = add({ title: "from nowhere" });
  page.again(app(null));
  expect((await made).title).toBe("from nowhere");
});

// Verifies: FUN-75, FUN-76
test("after a login as somebody else nothing of the one before is shown", async () => {
  let sub = "ada";
  opened({ getToken: () => hub.token(sub) });
  const seen: string[] = [];
  function Mine() {
    const { data, isLoading } = query("mine");
    const text = isLoading ? "loading" : String(data.sub);
    useEffect(() => void seen.push(text));
    return <p>{text}</p>;
  }
  const page = show(app(<Mine />));
  await until("Ada's", () => page.text() === "ada");
  sub = "bob";
  await client.refreshToken();
  await until("Bob's", () => page.text() === "bob");
  expect(seen.filter((text, at) => text !== seen[at - 1])).toEqual(["loading", "ada", "loading", "bob"]);
});

// Verifies: FUN-76
test("the status, also across a restart of the hub; and another client", async () => {
  opened();
  const states: string[] = [];
  function Shown() {
    const { state } = useStatus();
    const { isStale } = query("countTodos");
    useEffect(() => void states.push(state), [state]);
    return <p>{state} {String(isStale)}</p>;
  }
  const page = show(app(<Shown />));
  await until("it is live", () => page.text() === "live false");
  await hub.kill();
  await until("it is offline", () => page.text() === "offline true");
  await hub.start();
  await until("it is live again", () => page.text() === "live false");
  expect(states).toContain("offline");
  const first = client;
  opened();
  page.again(app(<Shown />));
  await until("the first client is left", () => first.status.get().state === "idle");
  await until("the other one shows", () => page.text() === "live false");
}, 60_000);

// Verifies: FUN-76
test("without a provider the hooks say what is missing", async () => {
  const errors: string[] = [];
  class Boundary extends Component<{ children: ReactNode }> {
    override state = { failed: false };
    static getDerivedStateFromError() {
      return { failed: true };
    }
    override componentDidCatch(error: Error) {
      errors.push(error.message);
    }
    override render() {
      return this.state.failed ? null : this.props.children;
    }
  }
  show(<Boundary><List /></Boundary>);
  await until("the error", () => errors.length > 0);
  expect(errors[0]).toBe("ferry: there is no client here: put <FerryProvider client={client}> around the app");
});

// Verifies: FUN-76
test("a component that renders often subscribes once", async () => {
  opened();
  let again!: (at: number) => void;
  let listens = 0;
  const { observe } = client;
  client.observe = ((...args: [never, never]) => (listens++, observe.apply(client, args))) as never;
  function Often() {
    const [at, set] = useState(0);
    again = set;
    const { data } = query("echo", { fresh: { object: true } });
    return <p>{at} {data && "there"}</p>;
  }
  const page = show(<FerryProvider client={client}><Often /></FerryProvider>);
  await until("the result", () => page.text() === "0 there");
  for (let at = 1; at <= 5; at++) {
    again(at);
    await until("the rendering", () => page.text() === `${at} there`);
  }
  expect(listens).toBe(1);
});
