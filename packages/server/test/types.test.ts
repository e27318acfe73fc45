// What is checked here is that it type-checks (`npm run check`); the functions are called once for good measure.
import { expect, test } from "vitest";
import { createMiddleware, type EdgePodContext, type FerryContext, mutation, query } from "../src/index.ts";
import { eq, sql } from "../src/schema.ts";
import { filled, runIn } from "./program.ts";
import * as schema from "./schema.ts";

type Ctx = FerryContext<typeof schema, { KEY: string }, { role: "admin" | "user" }, { sub: string }>;
type Edge = EdgePodContext<typeof schema>;

const { users, posts, tasks } = schema;
const signedIn = createMiddleware<Ctx>((ctx, _args, next) => {
  ctx.set("role", ctx.user ? "user" : "admin");
  return next();
});

const getUser = query(async (ctx: Ctx, args: { id: number }) => {
  const row = await ctx.db.select().from(users).where(eq(users.id, args.id)).get();
  const name: string | undefined = row?.fullName;
  const created: Date | null | undefined = row?.createdAt;
  void created;
  return name;
});

const change = mutation(signedIn(async (ctx: Ctx, args: { id: number }) => {
  const role: "admin" | "user" = ctx.get("role");
  ctx.db.update(users).set({ age: 1 }).withoutWhere().run();
  await ctx.db.delete(posts).withoutWhere();
  const made = ctx.db.transaction((tx) => tx.insert(posts).values({ title: ctx.env.KEY ?? "none", authorId: args.id }).returning().all());
  const first: { title: string; id: number } | undefined = made[0];
  await ctx.db.transaction(async (tx) => {
    if (first === undefined) tx.rollback();
    await tx.insert(tasks).values({ title: "x", done: false });
  });
  const done: { done: boolean | null; _owner: string | null }[] = await ctx.db.select({ done: tasks.done, _owner: tasks._owner }).from(tasks);
  const [withPosts] = await ctx.db.query.users.findMany({ with: { posts: true }, limit: 1 });
  const title: string | undefined = withPosts?.posts[0]?.title;
  const raw: Record<string, unknown>[] = ctx.unsafeRawDb.execute(sql`SELECT 1 AS x`);
  return { role, done: done.length, title, raw };
}));

test("a typed program runs", async () => {
  const host = filled();
  expect(await runIn(host, (ctx) => getUser(ctx, { id: 2 }))).toBe("User 2");
  expect(await runIn(host, (ctx) => change(ctx, { id: 1 }), { user: { sub: "ann" } }))
    .toEqual({ role: "user", done: 1, title: "none", raw: [{ x: 1 }] });
  const edge = (ctx: Edge) => ctx.db.select().from(users).all().length;
  expect(await runIn(host, edge)).toBe(3);
});
