// Verifies: FUN-16, FUN-17
import { expect, test } from "vitest";
import { eq, sql } from "../src/schema.ts";
import { filled, runIn } from "./program.ts";
import { posts, users } from "./schema.ts";

const title = (host: ReturnType<typeof filled>) => (host.rows("SELECT title FROM posts WHERE id = 1")[0] as any).title;
const rename = (db: any, name: string) => db.update(posts).set({ title: name }).where(eq(posts.id, 1)).run();

test("a sync transaction answers at once, and a throw undoes it alone", async () => {
  const host = filled();
  await runIn(host, ({ db }) => {
    rename(db, "before");
    expect(db.transaction((tx: any) => (rename(tx, "inside"), 7))).toBe(7);
    expect(() => db.transaction((tx: any) => {
      rename(tx, "undone");
      throw new Error("no");
    })).toThrow("no");
  });
  expect(title(host)).toBe("inside");
  expect(host.savepoints).toBe(0);
});

test("an async transaction is undone by a rejection and by rollback()", async () => {
  const host = filled();
  await runIn(host, async ({ db }) => {
    rename(db, "before");
    await expect(db.transaction(async (tx: any) => {
      rename(tx, "undone");
      await null;
      throw new Error("no");
    })).rejects.toThrow("no");
    await expect(db.transaction(async (tx: any) => {
      rename(tx, "undone");
      tx.rollback();
    })).rejects.toThrow("Rollback");
    await db.transaction((tx: any) => tx.update(posts).set({ title: "awaited" }).where(eq(posts.id, 1)));
  });
  expect(title(host)).toBe("awaited");
});

test("a second transaction waits for the first", async () => {
  const host = filled();
  const order: string[] = [];
  await runIn(host, async ({ db }) => {
    const first = db.transaction(async (tx: any) => {
      order.push("first begins");
      await null;
      await null;
      rename(tx, "first");
      order.push("first ends");
      throw new Error("undone");
    });
    const second = db.transaction(async (tx: any) => {
      order.push("second");
      rename(tx, "second");
    });
    const third = db.transaction((tx: any) => (order.push("third"), tx.select().from(users).all().length));
    await expect(first).rejects.toThrow("undone");
    await second;
    expect(await third).toBe(3);
  });
  expect(order).toEqual(["first begins", "first ends", "second", "third"]);
  expect(title(host)).toBe("second");
  expect(host.savepoints).toBe(0);
});

test("nested transactions, also through ctx.db, and siblings that are not awaited", async () => {
  const host = filled();
  await runIn(host, async ({ db }) => {
    db.transaction((tx: any) => {
      rename(tx, "outer");
      expect(() => tx.transaction((inner: any) => {
        rename(inner, "inner");
        throw new Error("inner");
      })).toThrow("inner");
      db.transaction((inner: any) => inner.delete(posts).where(eq(posts.id, 3)).run());
    });
    await db.transaction(async (tx: any) => {
      void tx.transaction(async (inner: any) => {
        await null;
        inner.delete(posts).where(eq(posts.id, 2)).run();
      });
    });
  });
  expect(host.rows("SELECT id, title FROM posts")).toEqual([{ id: 1, title: "outer" }]);
  expect(host.savepoints).toBe(0);
});

test("an outer throw undoes what is open inside", async () => {
  const host = filled();
  await runIn(host, async ({ db }) => {
    let inner: Promise<unknown> | undefined;
    await expect(db.transaction(async (tx: any) => {
      inner = tx.transaction(async (deep: any) => {
        rename(deep, "deep");
        await new Promise((resolve) => setTimeout(resolve, 1));
        rename(deep, "deeper");
      });
      inner!.catch(() => {});
      await null;
      throw new Error("outer");
    })).rejects.toThrow("outer");
    await expect(inner).rejects.toThrow("This transaction is over");
  });
  expect(title(host)).toBe("Post of 1");
  expect(host.savepoints).toBe(0);
});

test("a tx is not used after its end, nor a database after the function's", async () => {
  const host = filled();
  let later: any;
  await runIn(host, async ({ db }) => {
    let kept: any;
    db.transaction((tx: any) => (kept = tx));
    expect(() => rename(kept, "x")).toThrow("This transaction is over");
    later = db;
  });
  expect(() => later.select().from(users).all()).toThrow("ctx.db was used after the function returned.");
  expect(() => later.transaction(() => 1)).toThrow("ctx.db was used after the function returned.");
  expect(host.savepoints).toBe(0);
});

test("a transaction that is open when the function returns fails the call", async () => {
  for (const body of [() => new Promise(() => {}), async (tx: any) => {
    rename(tx, "never");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }]) {
    const host = filled();
    await expect(runIn(host, async ({ db }) => void db.transaction(body).catch(() => {}))).rejects.toThrow("still open when the function returned");
    expect([title(host), host.savepoints]).toEqual(["Post of 1", 0]);
  }
});

test("a write beside an open transaction is refused, and a read is not", async () => {
  const host = filled();
  await runIn(host, async ({ db, unsafeRawDb }) => {
    const open = db.transaction(async (tx: any) => {
      await null;
      rename(tx, "inside");
      await null;
      throw new Error("undone");
    });
    expect(() => rename(db, "beside")).toThrow("A transaction is open");
    expect(() => unsafeRawDb.run(sql`WITH x AS (SELECT 1) UPDATE posts SET title = 'beside'`)).toThrow("A transaction is open");
    expect(db.select().from(users).all().length).toBe(3);
    await expect(open).rejects.toThrow("undone");
    rename(db, "after");
  });
  expect(title(host)).toBe("after");
});
