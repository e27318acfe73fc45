// Verifies: FUN-17
import { expect, test } from "vitest";
import { eq } from "../src/schema.ts";
import { filled, runIn } from "./program.ts";
import { users } from "./schema.ts";

async function logged(run: (ctx: any) => any): Promise<string[]> {
  const host = filled(3);
  await runIn(host, run);
  return host.logged;
}

const told = (what: string) => [expect.stringContaining(`ctx.db.${what}(users) was never run, so it changed nothing: await it, or call .run().`)];

test("a write that is built and not run is told of", async () => {
  expect(await logged((ctx) => void ctx.db.insert(users).values({ fullName: "x" }))).toEqual(told("insert"));
  expect(await logged((ctx) => void ctx.db.update(users).set({ fullName: "x" }).where(eq(users.id, 1)))).toEqual(told("update"));
  expect(await logged((ctx) => void ctx.db.delete(users).where(eq(users.id, 1)).returning())).toEqual(told("delete"));
  expect(await logged((ctx) => ctx.db.transaction((tx: any) => void tx.delete(users).where(eq(users.id, 1))))).toEqual(told("delete"));
  expect(await logged(async (ctx) => void ctx.unsafeRawDb.delete(users))).toEqual(told("delete"));
});

test("one that is run, handed on or made a part of another is not", async () => {
  const insert = (db: any) => db.insert(users).values({ fullName: "x" });
  expect(await logged((ctx) => insert(ctx.db))).toEqual([]);
  expect(await logged(async (ctx) => void (await insert(ctx.db)))).toEqual([]);
  expect(await logged((ctx) => void insert(ctx.db).run())).toEqual([]);
  expect(await logged((ctx) => void insert(ctx.db).returning().get())).toEqual([]);
  expect(await logged((ctx) => void insert(ctx.db).catch(() => {}))).toEqual([]);
  expect(await logged((ctx) => void insert(ctx.unsafeRawDb).toSQL())).toEqual([]);
  expect(await logged((ctx) => Promise.all(Array.from({ length: 100 }, () => insert(ctx.db))))).toEqual([]);
  expect(await logged((ctx) => void ctx.db.select().from(users))).toEqual([]);
  const fails = logged((ctx) => {
    insert(ctx.db);
    throw new Error("x");
  });
  await expect(fails).rejects.toThrow("x");
});

test("not all of very many are told of", async () => {
  const lines = await logged((ctx) => {
    for (let i = 0; i < 100; i++) ctx.db.insert(users).values({ fullName: "x" });
  });
  expect(lines).toHaveLength(20);
});
