// The next user of a browser got the last one's unsent rows into their account, and saw the old rows.
// Verifies: REC-65

import { afterEach, describe, expect, test, vi } from "vitest";
import { attached, database, living, type Todo } from "./device.ts";
import { ModelHub } from "./hub.ts";
import { META, OUTBOX } from "../src/store.ts";
import { IDBFactory } from "fake-indexeddb";

const wait = { timeout: 8000, interval: 5 };
const open: ReturnType<typeof attached>[] = [];

afterEach(() => {
  for (const { db, sync } of open.splice(0)) {
    sync.close();
    db.close();
  }
});

/** A browser in which somebody is logged in to a hub that knows ann and bob, each with records of their own. */
function browser() {
  const hubs = { ann: new ModelHub(), bob: new ModelHub() };
  for (const hub of Object.values(hubs)) hub.owner = (token) => `name-of-${token}`;
  const now: { user: "ann" | "bob"; online: boolean } = { user: "ann", online: true };
  const hub = {
    fetch: (async (input, init) => {
      if (!now.online) throw new TypeError("no network");
      const user = new Headers(init?.headers).get("Authorization")!.slice("Bearer ".length) as "ann" | "bob";
      return hubs[user].fetch(input, init);
    }) as typeof fetch,
  };
  const indexedDB = new IDBFactory();
  const load = () => {
    for (const { db, sync } of open.splice(0)) {
      sync.close();
      db.close();
    }
    const made = attached(hub, { getToken: () => now.user }, database("shared", indexedDB));
    open.push(made);
    return made;
  };
  return { hubs, now, load };
}

/** Ann has synced one record and edited it offline; then bob logs in, in the same browser. */
async function handedOver() {
  const { hubs, now, load } = browser();
  const ann = load();
  await ann.db.todos.add({ id: "1", title: "ann's" });
  await vi.waitFor(() => expect(hubs.ann.living("todos")).toEqual({ 1: { title: "ann's" } }), wait);
  await vi.waitFor(() => expect(ann.sync.status.get()).toMatchObject({ state: "live", pending: 0 }), wait);
  now.online = false;
  await ann.db.todos.update("1", { title: "ann's, unsent" });
  await ann.db.todos.add({ id: "2", title: "never sent" });
  now.user = "bob";
  now.online = true;
  hubs.bob.push("bob's", { changes: [insert("9", "bob's")] });
  const { db, sync } = load();
  await vi.waitFor(() => expect(sync.status.get()).toMatchObject({ state: "error", reason: "OWNER_CHANGED" }), wait);
  return { hubs, now, load, db, sync };
}

const insert = (id: string, title: string) => ({
  collection: "todos", id, op: "insert", fields: { title: { value: title, at: "2026-01-01T00:00:00.000000000Z" } },
});
const shown = async ({ todos }: { todos: { toArray(): PromiseLike<Todo[]> } }) => (await todos.toArray()).map(({ id }) => id);

describe("another user is logged in", () => {
  test("nothing is sent, applied or shown", async () => {
    const { hubs, db, sync } = await handedOver();
    await vi.waitFor(async () => expect(await shown(db)).toEqual([]), wait);
    await expect(db.todos.add({ id: "3" })).rejects.toThrow(/OWNER_CHANGED.*switchOwner/);
    expect(sync.status.get().pending).toBe(2);
    expect(Object.keys(hubs.bob.living("todos"))).toEqual(["9"]);
    expect(hubs.bob.requests.filter(({ method }) => method === "POST")).toEqual([]);
    expect(hubs.ann.living("todos")).toEqual({ 1: { title: "ann's" } });
  });

  test("discarded, the rows are gone and what was unsent never arrives", async () => {
    const { hubs, db, sync } = await handedOver();
    await sync.switchOwner("discard");
    await vi.waitFor(async () => expect(await living(db.todos)).toEqual({ 9: { title: "bob's" } }), wait);
    await db.todos.add({ id: "3", title: "bob's second" });
    await vi.waitFor(() => expect(Object.keys(hubs.bob.living("todos")).sort()).toEqual(["3", "9"]), wait);
    await vi.waitFor(() => expect(sync.status.get()).toMatchObject({ state: "live", pending: 0 }), wait);
    expect(hubs.ann.living("todos")).toEqual({ 1: { title: "ann's" } });
  });

  test("kept, the rows become the new user's", async () => {
    const { hubs, db, sync } = await handedOver();
    await sync.switchOwner("keep");
    const all = { 1: { title: "ann's, unsent" }, 2: { title: "never sent" }, 9: { title: "bob's" } };
    await vi.waitFor(() => expect(hubs.bob.living("todos")).toEqual(all), wait);
    await vi.waitFor(async () => expect(await living(db.todos)).toEqual(all), wait);
    await vi.waitFor(() => expect(sync.status.get()).toMatchObject({ state: "live", pending: 0 }), wait);
  });

  test("the first user comes back: rows and unsent writes are theirs as before", async () => {
    const { hubs, now, load, db } = await handedOver();
    await vi.waitFor(async () => expect(await shown(db)).toEqual([]), wait);
    now.user = "ann";
    const { db: again } = load();
    const all = { 1: { title: "ann's, unsent" }, 2: { title: "never sent" } };
    await vi.waitFor(async () => expect(await living(again.todos)).toEqual(all), wait);
    await vi.waitFor(() => expect(hubs.ann.living("todos")).toEqual(all), wait);
  });
});

describe("logout", () => {
  test("sends what waits, then leaves nothing behind", async () => {
    const { hubs, load, now } = browser();
    const { db, sync } = load();
    await sync.initialSync;
    await db.todos.add({ id: "1", title: "ann's" });
    await sync.logout();
    expect(hubs.ann.living("todos")).toEqual({ 1: { title: "ann's" } });
    expect(sync.status.get()).toMatchObject({ state: "paused", reason: "logged_out", pending: 0 });
    for (const name of ["todos", META, OUTBOX]) expect(await db.table(name).count()).toBe(0);
    now.user = "bob";
    const bob = load();
    await bob.sync.initialSync;
    expect([await shown(bob.db), hubs.bob.living("todos")]).toEqual([[], {}]);
  });

  test("kept, the rows are put away until the same user is back, and another is refused", async () => {
    const { load, now } = browser();
    const ann = load();
    await ann.sync.initialSync;
    await ann.db.todos.add({ id: "1", title: "ann's" });
    await ann.sync.logout("keep");
    expect(await shown(ann.db)).toEqual([]);
    now.user = "bob";
    const bob = load();
    await vi.waitFor(() => expect(bob.sync.status.get()).toMatchObject({ state: "error", reason: "OWNER_CHANGED" }), wait);
    now.user = "ann";
    const { db } = load();
    await vi.waitFor(async () => expect(await living(db.todos)).toEqual({ 1: { title: "ann's" } }), wait);
  });

  test("while the hub cannot be reached nothing is given up", async () => {
    const { load, now } = browser();
    const { db, sync } = load();
    await sync.initialSync;
    now.online = false;
    await db.todos.add({ id: "1", title: "unsent" });
    await expect(sync.logout()).rejects.toThrow(/1 writes are not sent/);
    expect([await shown(db), await db.table(OUTBOX).count()]).toEqual([["1"], 1]);
  }, 20_000);
});

// Verifies: REC-65
test("an API key goes beside the user's token", async () => {
  const hub = new ModelHub();
  const sent: Headers[] = [];
  const fetch: typeof globalThis.fetch = (input, init) => (sent.push(new Headers(init?.headers)), hub.fetch(input, init));
  const made = attached({ fetch }, { key: "fy_pk_key", getToken: () => "ann" }, database("keyed", new IDBFactory()));
  open.push(made);
  await made.sync.initialSync;
  expect(sent.length).toBeGreaterThan(0);
  for (const headers of sent) expect([headers.get("Ferry-Key"), headers.get("Authorization")]).toEqual(["fy_pk_key", "Bearer ann"]);
});
