// Verifies: FUN-40, FUN-41, FUN-42, FUN-43, FUN-44
import { describe, expect, test } from "vitest";
import { and, eq, sql, unionAll } from "../src/schema.ts";
import { filled, runIn } from "./program.ts";
import { posts, tasks, users, wide } from "./schema.ts";
import type { TestHost } from "./host.ts";

const FULL = "Query returned exactly 1000 rows — there may be more results. Use .limit() and .offset() to paginate.";
const overridden = (limit: number) => `Query limit of ${limit} overridden to 1000.`;
const UPDATE = "[Ferry] UPDATE without WHERE is blocked. If intentional, chain .withoutWhere().";
const DELETE = "[Ferry] DELETE without WHERE is blocked. If intentional, chain .withoutWhere().";
const many = (count: number) => Array.from({ length: count }, (_, i) => ({ fullName: `N${i}` }));

/** Ways to a database: directly, in a transaction (sync, async, nested). */
const routes: Record<string, (ctx: any, use: (db: any) => any) => any> = {
  "ctx.db": (ctx, use) => use(ctx.db),
  "a transaction": (ctx, use) => ctx.db.transaction((tx: any) => use(tx)),
  "an async transaction": (ctx, use) => ctx.db.transaction(async (tx: any) => use(tx)),
  "a nested transaction": (ctx, use) => ctx.db.transaction((tx: any) => tx.transaction((inner: any) => use(inner))),
};

describe.each(Object.entries(routes))("on %s", (_, route) => {
  async function on(host: TestHost, use: (db: any) => any): Promise<any> {
    return runIn(host, (ctx) => route(ctx, use));
  }

  test("selects stop at 1000 rows, and say so", async () => {
    const host = filled(1200);
    expect(await on(host, (db) => db.select().from(users).all())).toHaveLength(1000);
    expect(host.warnings).toEqual([FULL]);
    host.warnings = [];
    expect(await on(host, (db) => db.select().from(users).limit(5000))).toHaveLength(1000);
    expect(host.warnings).toEqual([overridden(5000), FULL]);
    host.warnings = [];
    expect(await on(host, (db) => db.select({ id: users.id }).from(users).limit(999).values())).toHaveLength(999);
    expect(await on(host, (db) => db.select().from(users).limit(-5).all())).toEqual([]);
    expect(await on(host, (db) => db.select().from(users).limit(Number.NaN).offset(1195).all())).toHaveLength(5);
    expect(host.warnings).toEqual([]);
  });

  test("selects with CTEs, set operations, sub-queries and limits that are expressions stop too", async () => {
    const host = filled(1200);
    const cte = (db: any) => {
      const all = db.$with("all_users").as(db.select().from(users));
      return db.with(all).select().from(all).all();
    };
    expect(await on(host, cte)).toHaveLength(1000);
    const ids = (db: any) => db.select({ id: users.id }).from(users);
    expect(await on(host, (db) => unionAll(ids(db), ids(db)).all())).toHaveLength(1000);
    expect(await on(host, (db) => ids(db).unionAll(ids(db)).limit(3000).all())).toHaveLength(1000);
    expect(await on(host, (db) => db.select().from(ids(db).as("inner")).all())).toHaveLength(1000);
    expect(await on(host, (db) => db.selectDistinct({ id: users.id }).from(users).all())).toHaveLength(1000);
    expect(await on(host, (db) => ids(db).limit(sql`${2000}`).all())).toHaveLength(1000);
    expect(await on(host, (db) => ids(db).limit(sql`-1`).all())).toHaveLength(0);
    expect(host.warnings.filter((text) => text === overridden(3000))).toHaveLength(1);
  });

  test("relational queries stop, and so do limits of what comes along", async () => {
    const host = filled(1200);
    expect(await on(host, (db) => db.query.users.findMany())).toHaveLength(1000);
    expect(host.warnings).toEqual([FULL]);
    host.warnings = [];
    expect(await on(host, (db) => db.query.users.findMany({ limit: 1001 }))).toHaveLength(1000);
    expect(host.warnings).toEqual([overridden(1001), FULL]);
    host.warnings = [];
    expect(await on(host, (db) => db.query.users.findMany({ limit: 2, with: { posts: { limit: 1500 } } }))).toHaveLength(2);
    expect(await on(host, (db) => db.query.users.findMany({ limit: -1 }).sync())).toEqual([]);
    expect(host.warnings).toEqual([overridden(1500)]);
  });

  test("placeholders and prepared queries are capped when they run", async () => {
    const host = filled(1200);
    await on(host, (db) => {
      const prepared = db.select({ id: users.id }).from(users).limit(sql.placeholder("n")).prepare();
      expect(prepared.all({ n: 3 })).toHaveLength(3);
      expect(prepared.all({ n: 4000 })).toHaveLength(1000);
      expect(prepared.execute({ n: -1 }).sync()).toEqual([]);
      const relational = db.query.users.findMany({ limit: sql.placeholder("n") }).prepare();
      expect(relational.all({ n: 2000 })).toHaveLength(1000);
    });
    expect(host.warnings).toEqual([overridden(4000), FULL, overridden(2000), FULL]);
  });

  test.each(["then", "catch", "finally", "run", "all", "get", "values", "execute"])(
    "unfiltered writes are blocked by .%s()",
    async (way) => {
      const host = filled();
      const start = (query: any) => (way === "then" ? query.then((value: unknown) => value) : query[way]());
      await expect(on(host, async (db) => start(db.update(users).set({ age: 1 })))).rejects.toThrow(UPDATE);
      await expect(on(host, async (db) => start(db.delete(posts)))).rejects.toThrow(DELETE);
      await expect(on(host, async (db) => start(db.delete(posts).where(undefined)))).rejects.toThrow(DELETE);
      await expect(on(host, async (db) => start(db.update(users).set({ age: 1 }).where(and()).returning()))).rejects.toThrow(UPDATE);
      await expect(on(host, async (db) => start(db.delete(posts).where(sql``)))).rejects.toThrow(DELETE);
      const cte = (db: any) => db.$with("c").as(db.select().from(users));
      await expect(on(host, async (db) => start(db.with(cte(db)).delete(posts)))).rejects.toThrow(DELETE);
      await expect(on(host, async (db) => start(db.with(cte(db)).update(users).set({ age: 2 })))).rejects.toThrow(UPDATE);
      expect(host.rows("SELECT count(*) AS n FROM posts")).toEqual([{ n: 3 }]);
      expect(host.rows("SELECT count(*) AS n FROM users WHERE age = 1")).toEqual([{ n: 0 }]);
    },
  );

  test("withoutWhere() is the hatch, and warns", async () => {
    const host = filled();
    await on(host, (db) => void db.update(users).set({ age: 1 }).withoutWhere().run());
    await on(host, (db) => void db.delete(posts).withoutWhere().run());
    await on(host, (db) => void db.update(users).set({ age: 2 }).withoutWhere().where(eq(users.id, 1)).run());
    expect(host.warnings).toEqual([
      "[Ferry] Unfiltered update executed via .withoutWhere().",
      "[Ferry] Unfiltered delete executed via .withoutWhere().",
    ]);
    expect(host.rows("SELECT age FROM users")).toEqual([{ age: 2 }, { age: 1 }, { age: 1 }]);
    expect(host.rows("SELECT * FROM posts")).toEqual([]);
  });

  test.each(["run", "all", "get", "values", "execute"])("raw SQL by .%s() is blocked", async (method) => {
    const hatch = method === "execute" ? "run" : method;
    const text = `[Ferry] Raw SQL via 'ctx.db.${method}()' is blocked. Use ctx.db.select()/ctx.db.update(). `
      + `For raw SQL, use ctx.unsafeRawDb.${hatch}() and call ctx.invalidate() manually.`;
    const host = filled();
    await expect(on(host, (db) => db[method]("DELETE FROM posts"))).rejects.toThrow(text);
    await expect(on(host, (db) => db[method](sql`DELETE FROM posts`))).rejects.toThrow(text);
    await expect(on(host, (db) => db.$client.sql.exec("DELETE FROM posts"))).rejects.toThrow("Raw SQL via");
    expect(host.rows("SELECT count(*) AS n FROM posts")).toEqual([{ n: 3 }]);
  });

  test("inserts of too many rows or values are blocked", async () => {
    const host = filled();
    await expect(on(host, (db) => db.insert(users).values(many(1001)).run()))
      .rejects.toThrow("[Ferry] Bulk insert blocked: 1001 rows > 1000. Split into smaller batches.");
    const row = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`c${i}`, i]));
    await expect(on(host, (db) => db.insert(wide).values(Array.from({ length: 1000 }, () => row)).run()))
      .rejects.toThrow("[Ferry] Bulk insert blocked: 40000 bound values > 32766. Split into smaller batches.");
    await on(host, (db) => void db.insert(users).values(many(1000)).run());
    const ten = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`c${i}`, i]));
    await on(host, (db) => void db.insert(wide).values(Array.from({ length: 1000 }, () => ten)).run());
    expect(host.rows("SELECT count(*) AS n, sum(c9) AS s, count(c10) AS z FROM wide")).toEqual([{ n: 1000, s: 9000, z: 0 }]);
  });

  test("prepare() of a write is refused", async () => {
    const host = filled();
    const refused = (build: (db: any) => any) => expect(on(host, async (db) => build(db).prepare())).rejects;
    await refused((db) => db.insert(users).values({ fullName: "x" })).toThrow("[Ferry] .prepare() is not supported for inserts.");
    await refused((db) => db.update(users).set({ age: 1 })).toThrow("[Ferry] .prepare() is not supported for updates.");
    await refused((db) => db.delete(users)).toThrow("[Ferry] .prepare() is not supported for deletes.");
  });
});

test("EdgePod's keys have EdgePod's texts", async () => {
  await expect(runIn(filled(), ({ db }) => db.delete(users), { guardPrefix: "[EdgePod]" }))
    .rejects.toThrow("[EdgePod] DELETE without WHERE is blocked. If intentional, chain .withoutWhere().");
});

test("unsafeRawDb has no guards and no caps", async () => {
  const host = filled(1200);
  await runIn(host, async ({ unsafeRawDb: raw }) => {
    expect(raw.select().from(users).all()).toHaveLength(1200);
    expect(raw.all("SELECT id FROM users WHERE id < 3")).toEqual([{ id: 1 }, { id: 2 }]);
    expect(raw.get(sql`SELECT ${7} AS x`)).toEqual({ x: 7 });
    expect(raw.values("SELECT 1, 2")).toEqual([[1, 2]]);
    expect(raw.execute("SELECT 1 AS x")).toEqual([{ x: 1 }]);
    raw.run("DELETE FROM posts");
    raw.transaction((tx: any) => tx.update(users).set({ age: 0 }).run());
    const insert = raw.insert(users).values({ fullName: sql.placeholder("name") }).prepare();
    insert.run({ name: "prepared" });
    expect(raw.$client.sql.exec("SELECT id, age FROM users WHERE id < ?", 3).raw().toArray()).toEqual([[1, 0], [2, 0]]);
    expect(raw.$client.sql.exec("SELECT 5 AS five").one()).toEqual({ five: 5 });
  });
  expect(host.warnings).toEqual([]);
  expect(host.rows("SELECT count(*) AS n FROM users WHERE full_name = 'prepared'")).toEqual([{ n: 1 }]);
  expect(host.rows("SELECT count(*) AS n FROM posts")).toEqual([{ n: 0 }]);
  void tasks;
});
