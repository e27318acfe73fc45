import { Dexie } from "dexie";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import { afterEach, describe, expect, test, vi } from "vitest";
import { attached, database, living, type Todo } from "./device.ts";
import { ModelHub, refusal } from "./hub.ts";
import { OUTBOX, type Outgoing } from "../src/store.ts";
import type { Conflict } from "../src/wire.ts";
import type { Refused, RecordsOptions } from "../src/index.ts";

const wait = { timeout: 8000, interval: 5 };
const open: ReturnType<typeof attached>[] = [];

function device(hub: ModelHub, options: Partial<RecordsOptions> = {}, db = database()) {
  const made = attached(hub, options, db);
  open.push(made);
  return made;
}

afterEach(() => {
  for (const { db, sync } of open.splice(0)) {
    sync.close();
    db.close();
  }
});

const outbox = (db: Dexie) => db.table<Outgoing>(OUTBOX).toArray();
/** A hub that cannot be reached. */
const nowhere = { fetch: (async () => { throw new TypeError("no network"); }) as typeof fetch };

// The outbox row was written after the transaction of the write, and a crash in between lost it.
// Verifies: REC-60
describe("capture", () => {
  test("the outbox row is written in the transaction of the write, and undone with it", async () => {
    const { db } = device(new ModelHub(), nowhere);
    await db.transaction("rw", db.todos, async () => {
      await db.todos.add({ id: "a", title: "x" });
      throw new Error("the application changed its mind");
    }).catch(() => {});
    expect([await db.todos.count(), await outbox(db)]).toEqual([0, []]);
    await db.transaction("rw", db.todos, db.lists, async () => {
      await db.todos.add({ id: "a", title: "x" });
      await db.lists.add({ id: "l", title: "y" });
    });
    expect((await outbox(db)).map(({ table, id, op }) => [table, id, op])).toEqual([["todos", "a", "insert"], ["lists", "l", "insert"]]);
  });

  test("each of Dexie's ways to write becomes the fields that changed", async () => {
    const { db } = device(new ModelHub(), nowhere);
    await db.todos.bulkAdd([{ id: "a", title: "1" }, { id: "b", title: "2", done: false }, { id: "c" }]);
    await db.table(OUTBOX).clear();
    await db.todos.update("a", { title: "new" });
    await db.todos.put({ id: "b", title: "2", note: { deep: [1] } });
    await db.todos.where("id").equals("a").modify((row) => { row.done = true; });
    await db.todos.update("a", { title: "new" });
    await db.todos.where("id").above("b").delete();
    await db.todos.clear();
    const rows = (await outbox(db)).map(({ id, op, fields }) => [id, op, Object.fromEntries(Object.entries(fields).map(([n, f]) => [n, f.value]))]);
    const deleted = { deletedAt: expect.any(String) };
    expect(rows).toEqual([
      ["a", "update", { title: "new" }],
      ["b", "update", { done: null, note: { deep: [1] } }],
      ["a", "update", { done: true }],
      ["c", "delete", deleted],
      ["a", "delete", deleted],
      ["b", "delete", deleted],
    ]);
  });

  test("one request that writes a key twice, and a bulkAdd that fails in part", async () => {
    const { db } = device(new ModelHub(), nowhere);
    await db.todos.bulkPut([{ id: "a", title: "1" }, { id: "a", title: "2" }]);
    expect((await outbox(db)).map(({ op }) => op)).toEqual(["insert", "update"]);
    await db.transaction("rw", db.todos, () => db.todos.bulkAdd([{ id: "b" }, { id: "a", title: "3" }]).catch(() => {}));
    expect((await outbox(db)).slice(2).map(({ id }) => id)).toEqual(["b"]);
  });

  test("changes of hooks travel too", async () => {
    const { db } = device(new ModelHub(), nowhere);
    db.todos.hook("creating", (_key, row) => { row.note = "by the hook"; });
    await db.todos.add({ id: "a" });
    expect((await outbox(db))[0]!.fields.note!.value).toBe("by the hook");
  });

  test("what cannot travel is refused at the write", async () => {
    const { db } = device(new ModelHub(), nowhere);
    await expect(db.todos.add({ id: "a", title: 1n })).rejects.toThrow(/todos "a", field "title": .*BigInt/);
    await expect(db.todos.add({ id: 7 as unknown as string })).rejects.toThrow(/must be non-empty strings/);
    expect([await db.todos.count(), await db.table(OUTBOX).count()]).toEqual([0, 0]);
  });

  test("rows from before Ferry are sent; so is a table that is added later", async () => {
    const hub = new ModelHub();
    const indexedDB = new IDBFactory();
    const before = database("old", indexedDB);
    await before.todos.add({ id: "a", title: "old" });
    before.close();
    const first = device(hub, { tables: ["todos"] }, database("old", indexedDB));
    await vi.waitFor(() => expect(hub.living("todos")).toEqual({ a: { title: "old" } }), wait);
    hub.push("other", { changes: [{ collection: "lists", id: "l", op: "insert", fields: { title: { value: "l", at: "2026-01-01T00:00:00.000000000Z" } } }] });
    await vi.waitFor(async () => expect((await first.sync.status.get()).state).toBe("live"), wait);
    first.sync.close();
    first.db.close();
    const second = device(hub, {}, database("old", indexedDB));
    await vi.waitFor(async () => expect(await second.db.lists.get("l")).toEqual({ id: "l", title: "l" }), wait);
  });
});

// Verifies: REC-61
test("times rise within a device and follow what it has seen", async () => {
  const hub = new ModelHub();
  let ms = Date.parse("2026-01-01T10:00:00Z");
  hub.now = () => ms;
  const ahead = device(hub, { now: () => ms + 120_000 });
  await ahead.db.todos.add({ id: "a", title: "ahead" });
  const behind = device(hub, { now: () => ms });
  await vi.waitFor(async () => expect(await behind.db.todos.get("a")).toBeDefined(), wait);
  // By the wall this edit is two minutes older than what it answers to.
  await behind.db.todos.update("a", { title: "answer" });
  await vi.waitFor(async () => expect(await living(ahead.db.todos)).toEqual({ a: { title: "answer" } }), wait);
  ms -= 60_000;
  await behind.db.todos.update("a", { title: "after the clock was set back" });
  await vi.waitFor(() => expect(hub.living("todos").a).toEqual({ title: "after the clock was set back" }), wait);
  const { at } = hub.records.get("todos/a")!.fields.get("title")!;
  expect(at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
});

// Verifies: REC-62
describe("pull and push", () => {
  test("two devices see each other's writes over their streams", async () => {
    const hub = new ModelHub();
    const [a, b] = [device(hub), device(hub)];
    await Promise.all([a.sync.initialSync, b.sync.initialSync]);
    await a.db.todos.add({ id: "1", title: "from a" });
    await vi.waitFor(async () => expect(await b.db.todos.get("1")).toEqual({ id: "1", title: "from a" }), wait);
    await b.db.todos.delete("1");
    await vi.waitFor(async () => expect(await a.db.todos.count()).toBe(0), wait);
    expect(await a.db.table(OUTBOX).count()).toBe(0);
  });

  test("a stream that is cut is resumed without a gap", async () => {
    const hub = new ModelHub();
    const [a, b] = [device(hub), device(hub)];
    await b.sync.initialSync;
    for (let i = 0; i < 20; i++) {
      await a.db.todos.add({ id: String(i), title: i });
      if (i % 4 === 0) hub.cut();
    }
    await vi.waitFor(async () => expect(await living(b.db.todos)).toEqual(hub.living("todos")), wait);
    expect(await b.db.todos.count()).toBe(20);
  });

  test("records far apart among many that are known", async () => {
    const hub = new ModelHub();
    const ids = Array.from({ length: 100 }, (_, i) => `r${100 + i}`);
    const write = (op: "insert" | "update", id: string, title: string, minute: number) =>
      ({ collection: "todos", id, op, fields: { title: { value: title, at: `2026-01-01T00:0${minute}:00.000000000Z` } } });
    hub.push("other", { changes: ids.map((id) => write("insert", id, "first", 0)) });
    const { db, sync } = device(hub);
    await sync.initialSync;
    await db.todos.update("r100", { note: "mine" });
    hub.push("other", { changes: [write("update", "r100", "edited", 1), write("insert", "r150a", "new", 1), write("update", "r199", "edited", 1)] });
    await vi.waitFor(async () => expect(await db.todos.get("r199")).toEqual({ id: "r199", title: "edited" }), wait);
    expect(await db.todos.get("r100")).toEqual({ id: "r100", title: "edited", note: "mine" });
    expect([await db.todos.get("r150a"), await db.todos.count()]).toEqual([{ id: "r150a", title: "new" }, 101]);
  });

  test("without streams it polls", async () => {
    const hub = new ModelHub();
    hub.streams = false;
    const [a, b] = [device(hub, { pollMs: 5 }), device(hub, { pollMs: 5 })];
    await a.db.todos.add({ id: "1" });
    await vi.waitFor(async () => expect(await b.db.todos.count()).toBe(1), wait);
    expect(b.sync.status.get().state).toBe("live");
  });

  test("batches of 200, one at a time", async () => {
    const hub = new ModelHub();
    let open = 0;
    let most = 0;
    const fetcher: typeof fetch = async (input, init) => {
      const pushes = init?.method === "POST";
      most = Math.max(most, (open += Number(pushes)));
      await Promise.resolve();
      return hub.fetch(input, init).finally(() => (open -= Number(pushes)));
    };
    const { db, sync } = device(hub, { fetch: fetcher });
    await db.todos.bulkAdd(Array.from({ length: 450 }, (_, i) => ({ id: String(i) })));
    await vi.waitFor(() => expect(hub.records.size).toBe(450), wait);
    await vi.waitFor(() => expect(sync.status.get().pending).toBe(0), wait);
    expect(hub.requests.filter(({ method }) => method === "POST").map(({ changes }) => changes)).toEqual([200, 200, 50]);
    expect(most).toBe(1);
  });

  // One bad row blocked an application's queue for ever.
  test("a refused change is set aside with its reason and blocks nothing", async () => {
    const hub = new ModelHub();
    hub.refuse = ({ id }) => (id === "bad" ? { reason: "forbidden", message: "not this one" } : undefined);
    const rejected: Refused[] = [];
    const { db, sync } = device(hub, { onRejected: (row) => rejected.push(row) });
    await db.todos.bulkAdd([{ id: "1" }, { id: "bad", title: "mine" }, { id: "2" }]);
    await vi.waitFor(() => expect(Object.keys(hub.living("todos"))).toEqual(["1", "2"]), wait);
    await vi.waitFor(() => expect(rejected).toMatchObject([{ id: "bad", reason: "forbidden", message: "not this one" }]), wait);
    expect(await sync.rejected()).toMatchObject([{ n: rejected[0]!.n, id: "bad" }]);
    expect(await db.todos.get("bad")).toEqual({ id: "bad", title: "mine" });

    hub.refuse = () => undefined;
    await sync.retry(rejected[0]!.n);
    await vi.waitFor(() => expect(hub.living("todos").bad).toEqual({ title: "mine" }), wait);
    expect(await sync.rejected()).toEqual([]);
  });

  test("a refused change that is given up makes way for the hub's state", async () => {
    const hub = new ModelHub();
    hub.refuse = ({ fields }) => (fields.title?.value === "bad" ? { reason: "forbidden", message: "no" } : undefined);
    const { db, sync } = device(hub);
    await db.todos.add({ id: "1", title: "good" });
    await vi.waitFor(() => expect(hub.living("todos")).toEqual({ 1: { title: "good" } }), wait);
    await db.todos.update("1", { title: "bad" });
    await db.todos.add({ id: "2", title: "bad" });
    await vi.waitFor(async () => expect(await sync.rejected()).toHaveLength(2), wait);
    for (const { n } of await sync.rejected()) await sync.discard(n);
    await vi.waitFor(async () => expect(await living(db.todos)).toEqual({ 1: { title: "good" } }), wait);
  });

  test("a number that no refused write has is an error that names the list", async () => {
    const hub = new ModelHub();
    const { db, sync } = device(hub);
    await db.open();
    const message = "ferry: no refused write has number 7; see rejected()";
    await expect(sync.retry(7)).rejects.toThrow(message);
    await expect(sync.discard(7)).rejects.toThrow(message);
  });

  // 422: too many collections (REC-35).
  test.each([400, 422])("one change for which the whole batch is refused with %i is found by halving", async (status) => {
    const hub = new ModelHub();
    const fetcher: typeof fetch = async (input, init) =>
      String(init?.body ?? "").includes("poison") ? refusal(status, "invalid_argument") : hub.fetch(input, init);
    const { db, sync } = device(hub, { fetch: fetcher });
    await db.todos.bulkAdd(Array.from({ length: 50 }, (_, i) => ({ id: String(i), title: i === 33 ? "poison" : i })));
    await vi.waitFor(() => expect(Object.keys(hub.living("todos"))).toHaveLength(49), wait);
    await vi.waitFor(async () => expect(await sync.rejected()).toMatchObject([{ id: "33", reason: "invalid" }]), wait);
  });

  test("the network comes back: what was written offline goes at once", async () => {
    const hub = new ModelHub();
    let online = false;
    const fetcher: typeof fetch = (input, init) => (online ? hub.fetch(input, init) : Promise.reject(new TypeError("offline")));
    vi.spyOn(Math, "random").mockReturnValue(1);
    const { db, sync } = device(hub, { fetch: fetcher });
    await db.todos.add({ id: "1" });
    await vi.waitFor(() => expect(sync.status.get()).toMatchObject({ state: "offline", pending: 1 }), wait);
    online = true;
    const begun = performance.now();
    sync.syncNow();
    await vi.waitFor(() => expect(sync.status.get()).toMatchObject({ state: "live", pending: 0 }), wait);
    expect(performance.now() - begun).toBeLessThan(400);
    vi.restoreAllMocks();
  });
});

// Verifies: REC-63
describe("status", () => {
  test("an expired token is replaced through getToken", async () => {
    const hub = new ModelHub();
    hub.token = "t1";
    const asked: (string | undefined)[] = [];
    const { db, sync } = device(hub, { getToken: (refused) => (asked.push(refused), hub.token) });
    await sync.initialSync;
    hub.token = "t2";
    await db.todos.add({ id: "1" });
    await vi.waitFor(() => expect(hub.living("todos")).toEqual({ 1: {} }), wait);
    expect(asked).toEqual([undefined, "t1"]);
  });

  test("no right: the error is shown, and it goes on when there is a token", async () => {
    const hub = new ModelHub();
    hub.token = "t1";
    let token: string | null = null;
    const { sync } = device(hub, { getToken: () => token });
    await vi.waitFor(() => expect(sync.status.get()).toMatchObject({ state: "error", reason: "unauthenticated" }), wait);
    token = "t1";
    sync.syncNow();
    await vi.waitFor(() => expect(sync.status.get().state).toBe("live"), wait);
  });

  test("payment required pauses until asked again", async () => {
    const hub = new ModelHub();
    let paid = false;
    const fetcher: typeof fetch = async (input, init) => (paid ? hub.fetch(input, init) : refusal(402, "payment_required"));
    const { db, sync } = device(hub, { fetch: fetcher });
    await db.todos.add({ id: "1" });
    await vi.waitFor(() => expect(sync.status.get()).toMatchObject({ state: "paused", reason: "payment_required", pending: 1 }), wait);
    paid = true;
    sync.syncNow();
    await vi.waitFor(() => expect(sync.status.get()).toMatchObject({ state: "live", pending: 0 }), wait);
  });

  test("Retry-After is respected", async () => {
    const hub = new ModelHub();
    hub.faults.push(() => refusal(429, "throttled", { "Retry-After": "1" }));
    vi.spyOn(Math, "random").mockReturnValue(0);
    const begun = performance.now();
    const { sync } = device(hub);
    await sync.initialSync;
    expect(performance.now() - begun).toBeGreaterThan(950);
    vi.restoreAllMocks();
  });

  test("tells seq, counts, and subscribers at once", async () => {
    const hub = new ModelHub();
    const { db, sync } = device(hub);
    const seen: string[] = [];
    const stop = sync.status.subscribe(({ state }) => seen.push(state));
    expect(seen).toHaveLength(1);
    await db.todos.add({ id: "1" });
    await vi.waitFor(() => expect(sync.status.get()).toMatchObject({ state: "live", pending: 0, seq: 1, ready: true }), wait);
    stop();
    const count = seen.length;
    await db.todos.add({ id: "2" });
    await vi.waitFor(() => expect(hub.seq).toBe(2), wait);
    expect(seen).toHaveLength(count);
  });

  test("a lost write is reported", async () => {
    const hub = new ModelHub();
    let ms = Date.parse("2026-01-01T10:00:00Z");
    hub.now = () => ms;
    const conflicts: Conflict[] = [];
    const a = device(hub, { now: () => ms });
    await a.db.todos.add({ id: "1", title: "start" });
    await vi.waitFor(() => expect(hub.living("todos")["1"]).toBeDefined(), wait);
    let online = true;
    const b = device(hub, {
      now: () => ms,
      onConflict: (conflict) => conflicts.push(conflict),
      fetch: (input, init) => (online ? hub.fetch(input, init) : Promise.reject(new TypeError("offline"))),
    });
    await vi.waitFor(async () => expect(await b.db.todos.count()).toBe(1), wait);
    online = false;
    hub.cut();
    await b.db.todos.update("1", { title: "b's" });
    ms += 1000;
    await a.db.todos.update("1", { title: "a's" });
    await vi.waitFor(() => expect(hub.living("todos")["1"]).toEqual({ title: "a's" }), wait);
    online = true;
    b.sync.syncNow();
    await vi.waitFor(() => expect(conflicts).toMatchObject([{ collection: "todos", id: "1", field: "title", winner: { value: "a's" }, loser: { value: "b's" } }]), wait);
    await vi.waitFor(async () => expect(await living(b.db.todos)).toEqual({ 1: { title: "a's" } }), wait);
  });
});

// Verifies: REC-64
describe("special cases of applying", () => {
  test("a device a year ahead learns the time; its writes keep their order and later edits of others win", async () => {
    const hub = new ModelHub();
    let ms = Date.parse("2026-01-01T10:00:00Z");
    hub.now = () => ms;
    const ahead = device(hub, { now: () => ms + 365 * 86_400_000 });
    await ahead.db.todos.add({ id: "1", title: "first" });
    await ahead.db.todos.update("1", { title: "second" });
    await vi.waitFor(() => expect(hub.living("todos")).toEqual({ 1: { title: "second" } }), wait);
    ms += 1000;
    const other = device(hub, { now: () => ms });
    await vi.waitFor(async () => expect(await other.db.todos.count()).toBe(1), wait);
    await other.db.todos.update("1", { title: "edit" });
    await vi.waitFor(async () => expect(await living(ahead.db.todos)).toEqual({ 1: { title: "edit" } }), wait);
    ms += 1000;
    await ahead.db.todos.update("1", { title: "last" });
    await vi.waitFor(async () => expect(await living(other.db.todos)).toEqual({ 1: { title: "last" } }), wait);
    expect(hub.records.get("todos/1")!.fields.get("title")!.at < "2026-01-01T11").toBe(true);
  });

  test("beyond the horizon: what was purged goes, unsent writes stay, nothing is revived", async () => {
    const hub = new ModelHub();
    let online = true;
    const fetcher: typeof fetch = (input, init) => (online ? hub.fetch(input, init) : Promise.reject(new TypeError("offline")));
    const rejected: Refused[] = [];
    const { db, sync } = device(hub, { fetch: fetcher, onRejected: (row) => rejected.push(row) });
    await db.todos.bulkAdd([{ id: "purged", title: "x" }, { id: "kept", title: "x" }, { id: "edited", title: "x" }]);
    await vi.waitFor(() => expect(sync.status.get()).toMatchObject({ state: "live", pending: 0 }), wait);
    online = false;
    hub.cut();
    await db.todos.update("edited", { title: "stale edit" });
    await db.todos.update("kept", { title: "good edit" });
    hub.records.delete("todos/purged");
    hub.records.delete("todos/edited");
    hub.cts += 100;
    hub.horizon = hub.cts;
    online = true;
    sync.syncNow();
    await vi.waitFor(() => expect(rejected).toMatchObject([{ id: "edited", reason: "beyond_horizon" }]), wait);
    await vi.waitFor(() => expect(hub.living("todos")).toEqual({ kept: { title: "good edit" } }), wait);
    expect(await db.todos.get("purged")).toBeUndefined();
    expect(await db.todos.get("edited")).toEqual({ id: "edited", title: "stale edit" });
  });

  test("a row that the table will not take is reported and does not stop the rest", async () => {
    const hub = new ModelHub();
    const strict = new Dexie("strict", { indexedDB: new IDBFactory(), IDBKeyRange });
    strict.version(1).stores({ todos: "id, &title" });
    const errors: unknown[] = [];
    const { db, sync } = device(hub, { onError: (_, record) => errors.push(record) }, strict as never);
    await sync.initialSync;
    const insert = (id: string, title: string) => ({
      collection: "todos", id, op: "insert", fields: { title: { value: title, at: "2026-01-01T00:00:00.000000000Z" } },
    });
    hub.push("other", { changes: [insert("1", "same"), insert("2", "same"), insert("3", "other")] });
    await vi.waitFor(async () => expect((await db.todos.toArray()).map(({ id }: Todo) => id)).toEqual(["1", "3"]), wait);
    await vi.waitFor(() => expect(errors).toEqual([{ table: "todos", id: "2", index: "title", other: "1" }]), wait);
    hub.push("other", { changes: [{ ...insert("2", "now free"), op: "update", fields: { title: { value: "now free", at: "2026-01-02T00:00:00.000000000Z" } } }] });
    await vi.waitFor(async () => expect(await db.todos.get("2")).toEqual({ id: "2", title: "now free" }), wait);
  });
});
