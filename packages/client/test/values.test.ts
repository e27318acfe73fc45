// Binary values, Map and NaN were silently changed on the way, and `deletedAt` was silently not synced.
// Verifies: REC-67

import { afterEach, describe, expect, test, vi } from "vitest";
import { attached, strict } from "./device.ts";
import { ModelHub } from "./hub.ts";
import { OUTBOX } from "../src/store.ts";

const wait = { timeout: 8000, interval: 5 };
const open: ReturnType<typeof attached>[] = [];
const device = (...options: Parameters<typeof attached>) => {
  const made = attached(...options);
  open.push(made);
  return made;
};

afterEach(() => {
  for (const { db, sync } of open.splice(0)) {
    sync.close();
    db.close();
  }
});

describe("a value that JSON cannot carry is refused at the write, with table, key and field", () => {
  test.each<[string, unknown]>([
    ["Uint8Array", new Uint8Array([1])], ["ArrayBuffer", new ArrayBuffer(1)], ["Map", new Map()], ["Set", new Set()],
    ["Date", new Date(0)], ["NaN", NaN], ["Infinity", { deep: [Infinity] }], ["BigInt", 1n], ["RegExp", /x/],
  ])("%s", async (name, value) => {
    const { db } = device(new ModelHub());
    await expect(db.todos.add({ id: "a", note: value })).rejects.toThrow(new RegExp(`todos "a", field "note": .*${name}`));
    expect([await db.todos.count(), await db.table(OUTBOX).count()]).toEqual([0, 0]);
  });

  test("names that are Ferry's own", async () => {
    const { db } = device(new ModelHub());
    await expect(db.todos.add({ id: "a", deletedAt: 1 } as never)).rejects.toThrow(/todos "a", field "deletedAt": .*reserved/);
    expect(await db.todos.count()).toBe(0);
  });
});

test("declared dates and bytes are Dates and Uint8Arrays on every device", async () => {
  const hub = new ModelHub();
  const types = { todos: { done: "date", note: "bytes" } } as const;
  const [a, b] = [device(hub, { types }), device(hub, { types })];
  const row = { id: "1", done: new Date("2026-01-02T03:04:05.678Z"), note: new Uint8Array([0, 1, 254, 255]) };
  await a.db.todos.add(row);
  await vi.waitFor(async () => expect(await b.db.todos.get("1")).toEqual(row), wait);
  expect(hub.living("todos")).toEqual({ 1: { done: "2026-01-02T03:04:05.678Z", note: "AAH+/w==" } });
  await expect(a.db.todos.update("1", { done: "tomorrow" })).rejects.toThrow(/todos "1", field "done": .*must be a Date/);
});

describe("a table whose keys cannot be a record's is refused at attach, with what to use instead", () => {
  test.each([["++id", /counted by each device/], ["[a+b]", /compound/], ["", /outside the row/], ["++", /counted by each device/]])("%s", (key, why) => {
    const db = strict({ todos: key });
    expect(() => attached(new ModelHub(), {}, db)).toThrow(why);
    expect(() => attached(new ModelHub(), {}, db)).toThrow(/table "todos".*randomUUID/);
    db.close();
  });
});
