import { describe, expect, test } from "vitest";
import { alias, and, asc, count, desc, eq, exists, gt, inArray, like, sql, sum, union, unionAll } from "../src/schema.ts";
import { filled, runIn } from "./program.ts";
import { adults, posts, users } from "./schema.ts";

const user1 = {
  id: 1, fullName: "User 1", email: "u1@x.org", age: 21, active: true, createdAt: new Date(1_700_000_001_000),
  settings: { theme: "dark" }, avatar: null,
};

/**
 * Each query runs three times: built by drizzle, then by its plan; on a host that names rows itself, and on one that does
 * not. The answers and what is bound must agree.
 */
async function thrice(query: (db: any) => any): Promise<any> {
  const keyed = await thriceOn(true, query);
  expect(await thriceOn(false, query)).toEqual(keyed);
  return keyed;
}

async function thriceOn(keyed: boolean, query: (db: any) => any): Promise<any> {
  const host = filled();
  host.keyed = keyed;
  const results: any[] = [];
  await runIn(host, async (ctx) => {
    for (let i = 0; i < 3; i++) results.push(await query(ctx.db));
  });
  expect(results[1]).toEqual(results[0]);
  expect(results[2]).toEqual(results[0]);
  const third = host.statements.length / 3;
  expect(host.statements.slice(third, 2 * third)).toEqual(host.statements.slice(0, third));
  return results[0];
}

describe("selects", () => {
  test("a row by its key, decoded", async () => {
    expect(await thrice((db) => db.select().from(users).where(eq(users.id, 1)))).toEqual([user1]);
    expect(await thrice((db) => db.select().from(users).where(eq(users.id, 1)).get())).toEqual(user1);
    expect(await thrice((db) => db.select().from(users).where(eq(users.id, 99)).get())).toBeUndefined();
  });

  test("chosen fields, expressions and what decodes them", async () => {
    const query = (db: any) =>
      db.select({ name: users.fullName, n: sql<number>`${users.age} + ${1}`.mapWith(String), c: users.createdAt })
        .from(users).orderBy(desc(users.id)).limit(1);
    expect(await thrice(query)).toEqual([{ name: "User 3", n: "24", c: new Date(1_700_000_003_000) }]);
    expect(await thrice((db) => db.select({ n: count() }).from(users))).toEqual([{ n: 3 }]);
    expect(await thrice((db) => db.select({ n: sum(users.age).as("total") }).from(users))).toEqual([{ n: "66" }]);
    expect(await thrice((db) => db.select({ a: { b: users.id } }).from(users).limit(1))).toEqual([{ a: { b: 1 } }]);
  });

  test("joins nest, and a missing side is null", async () => {
    const rows = await thrice((db) =>
      db.select().from(users).leftJoin(posts, and(eq(posts.authorId, users.id), gt(posts.id, 1))).orderBy(asc(users.id)).limit(2));
    expect(rows[0].posts).toBeNull();
    expect(rows[0].users).toEqual(user1);
    expect(rows[1].posts).toEqual({ id: 2, authorId: 2, title: "Post of 2", likes: 0 });
    const flat = await thrice((db) =>
      db.select({ name: users.fullName, title: posts.title }).from(users).innerJoin(posts, eq(posts.authorId, users.id)).where(eq(users.id, 2)));
    expect(flat).toEqual([{ name: "User 2", title: "Post of 2" }]);
  });

  test("an alias of a table is not the table", async () => {
    const host = filled();
    await runIn(host, async ({ db }) => {
      await db.select({ id: users.id }).from(users).where(eq(users.id, 2));
      const p = alias(users, "p");
      expect(await db.select({ id: p.id }).from(p).where(eq(p.id, 2))).toEqual([{ id: 2 }]);
    });
    expect(host.statements[1]!.sql).toContain('"users" "p"');
  });

  test("grouping, lists, sub-queries, CTEs, set operations, views", async () => {
    expect(await thrice((db) => db.select({ id: users.id }).from(users).where(inArray(users.id, [1, 3])))).toEqual([{ id: 1 }, { id: 3 }]);
    const grouped = await thrice((db) => db.select({ a: posts.authorId, n: count() }).from(posts).groupBy(posts.authorId).having(gt(count(), 0)));
    expect(grouped).toHaveLength(3);
    const sub = await thrice((db) => {
      const inner = db.select({ id: users.id }).from(users).where(like(users.fullName, "%2")).as("inner");
      return db.select().from(inner);
    });
    expect(sub).toEqual([{ id: 2 }]);
    const cte = await thrice((db) => {
      const young = db.$with("young").as(db.select().from(users).where(eq(users.age, 21)));
      return db.with(young).select({ name: young.fullName }).from(young);
    });
    expect(cte).toEqual([{ name: "User 1" }]);
    const both = await thrice((db) =>
      unionAll(db.select({ id: users.id }).from(users).where(eq(users.id, 1)), db.select({ id: users.id }).from(users).where(eq(users.id, 2))));
    expect(both).toEqual([{ id: 1 }, { id: 2 }]);
    expect(await thrice((db) => db.select({ id: users.id }).from(users).union(db.select({ id: users.id }).from(users)).limit(2))).toHaveLength(2);
    const host = filled();
    host.db.exec("CREATE VIEW adults AS SELECT id, full_name FROM users WHERE age >= 18");
    expect(await runIn(host, ({ db }) => db.select({ id: adults.id }).from(adults).limit(1))).toEqual([{ id: 1 }]);
    void union;
    void exists;
  });

  test("what is bound is told apart from what is written", async () => {
    const host = filled();
    await runIn(host, async ({ db }) => {
      expect(await db.select({ x: sql`${users.id}` }).from(users).where(eq(users.id, 1))).toEqual([{ x: 1 }]);
      expect(await db.select({ x: sql`${"?"}` }).from(users).where(eq(users.id, 1))).toEqual([{ x: "?" }]);
      expect(await db.select({ x: sql`${1}` }).from(users).where(eq(users.id, 1))).toEqual([{ x: 1 }]);
      expect(await db.select({ x: sql.raw("'a'") }).from(users).where(eq(users.id, 1))).toEqual([{ x: "a" }]);
    });
  });
});

describe("writes", () => {
  test("insert, update, delete, with what they return", async () => {
    const host = filled();
    await runIn(host, async ({ db }) => {
      expect(await db.insert(users).values({ fullName: "Ann", settings: { theme: "x" } })).toBeUndefined();
      const [ann] = await db.insert(users).values({ fullName: "Ben", age: sql`1 + ${41}` }).returning();
      expect(ann).toEqual({
        id: 5, fullName: "Ben", email: null, age: 42, active: true, createdAt: new Date(1_700_000_000_000), settings: null, avatar: null,
      });
      expect(db.insert(users).values([{ fullName: "C" }, { fullName: "D" }]).returning({ id: users.id }).all()).toEqual([{ id: 6 }, { id: 7 }]);
      expect(await db.update(users).set({ age: 7 }).where(eq(users.id, 1)).returning({ age: users.age })).toEqual([{ age: 7 }]);
      await db.update(posts).set({ title: "new" }).where(eq(posts.id, 1));
      expect(await db.select({ likes: posts.likes }).from(posts).where(eq(posts.id, 1)).get()).toEqual({ likes: 1 });
      expect(await db.delete(posts).where(eq(posts.id, 3)).returning()).toHaveLength(1);
    });
    expect(host.rows("SELECT count(*) AS n FROM posts")).toEqual([{ n: 2 }]);
    expect(host.rows("SELECT settings FROM users WHERE id = 4")).toEqual([{ settings: '{"theme":"x"}' }]);
  });

  test("upserts and inserts of a query", async () => {
    const host = filled();
    await runIn(host, async ({ db }) => {
      await db.insert(users).values({ id: 1, fullName: "x" }).onConflictDoNothing();
      await db.insert(users).values({ id: 1, fullName: "x" }).onConflictDoUpdate({ target: users.id, set: { fullName: "Anew" } });
      await db.insert(posts).select(db.select({
        id: sql`${users.id} + 100`.as("id"), authorId: users.id, title: users.fullName, likes: sql`0`.as("likes"),
      }).from(users).where(eq(users.id, 1)));
    });
    expect(host.rows("SELECT title FROM posts WHERE id = 101")).toEqual([{ title: "Anew" }]);
  });

  test("a constraint's message arrives as it is", async () => {
    await expect(runIn(filled(), ({ db }) => db.insert(users).values({ fullName: "x", email: "u1@x.org" })))
      .rejects.toThrow("UNIQUE constraint failed: users.email");
  });

  test("bytes, large integers and JSON go through", async () => {
    const host = filled();
    await runIn(host, async ({ db, unsafeRawDb }) => {
      await db.insert(users).values({ id: 9, fullName: "b", avatar: Buffer.from([1, 2, 255]) });
      const row = await db.select({ avatar: users.avatar }).from(users).where(eq(users.id, 9)).get();
      expect([...row.avatar]).toEqual([1, 2, 255]);
      expect(unsafeRawDb.get(sql`SELECT 9007199254740993 AS n`).n).toBe(9007199254740993n);
    });
  });
});

describe("relational queries", () => {
  // Verifies: FUN-07
  test("findMany and findFirst with relations", async () => {
    const found = await thrice((db) => db.query.users.findMany({ with: { posts: true }, orderBy: asc(users.id), limit: 2 }));
    expect(found[1].posts).toEqual([{ id: 2, authorId: 2, title: "Post of 2", likes: 0 }]);
    expect(found[0].createdAt).toEqual(user1.createdAt);
    const first = await thrice((db) => db.query.posts.findFirst({ where: eq(posts.id, 2), with: { author: { columns: { fullName: true } } } }));
    expect(first).toEqual({ id: 2, authorId: 2, title: "Post of 2", likes: 0, author: { fullName: "User 2" } });
    expect(await thrice((db) => db.query.posts.findFirst({ where: eq(posts.id, 99) }))).toBeUndefined();
    expect(await thrice((db) => db.$count(users))).toBe(3);
  });
});
