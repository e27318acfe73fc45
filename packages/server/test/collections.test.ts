// Verifies: FUN-80, FUN-83
import { expect, test } from "vitest";
import { collection, eq, text } from "../src/schema.ts";
import { filled, runIn } from "./program.ts";
import { tasks } from "./schema.ts";

const ann = { user: { sub: "ann" }, owner: "jwt:i#ann" };

test("a collection is read and written like a table, and owned by its caller", async () => {
  const host = filled();
  await runIn(host, async ({ db }) => {
    const [made] = await db.insert(tasks).values({ id: "t1", title: "x", done: true }).returning();
    expect(made).toEqual({ id: "t1", title: "x", done: true, _owner: "jwt:i#ann", _space: null, _updated_at: null, _extra: null });
    await db.insert(tasks).values([{ title: "y" }, { title: "z", _owner: "ben" }]);
    expect(await db.update(tasks).set({ done: false }).where(eq(tasks.id, "t1")).returning({ id: tasks.id })).toEqual([{ id: "t1" }]);
    expect(await db.select({ title: tasks.title, owner: tasks._owner }).from(tasks)).toEqual([
      { title: "x", owner: "jwt:i#ann" }, { title: "y", owner: "jwt:i#ann" }, { title: "z", owner: "ben" },
    ]);
    await db.delete(tasks).where(eq(tasks.id, "t1"));
  }, ann);
  expect(host.rows("SELECT length(id) AS n FROM kept_tasks")).toEqual([{ n: 36 }, { n: 36 }]);
  expect(host.statements[0]!.sql).toMatch(/^insert into "tasks" \("id", "title", "done", "_owner"\) values/);
});

test("nobody owns nothing", async () => {
  const host = filled();
  await expect(runIn(host, ({ db }) => db.insert(tasks).values({ title: "x" })))
    .rejects.toThrow("INVALID: tasks._owner is required for anonymous callers.");
  await runIn(host, ({ db }) => db.insert(tasks).values({ title: "x", _owner: "ben" }));
});

test("an upsert is refused, and the message says what works", async () => {
  const insert = ({ db }: any) => db.insert(tasks).values({ id: "t1" });
  await expect(runIn(filled(), (ctx) => insert(ctx).onConflictDoNothing(), ann)).rejects.toThrow('ctx.records.put("tasks", id, fields)');
  await expect(runIn(filled(), (ctx) => insert(ctx).onConflictDoUpdate({ target: tasks.id, set: { title: "y" } }), ann))
    .rejects.toThrow('ctx.records.put("tasks", id, fields)');
});

test("mistakes in a collection are told", () => {
  expect(() => collection("x", { app: "" })).toThrow("must name the app");
  expect(() => collection("x", { app: "a", id: text() } as any)).toThrow('the field "id" is there already');
});
