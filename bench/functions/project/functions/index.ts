// What both servers run, word for word.
import { and, eq, gte, lt } from "drizzle-orm";
import { users } from "../schema";

export async function getUserById(ctx, { id }) {
  return ctx.db.select().from(users).where(eq(users.id, id)).get();
}
export async function getUsers(ctx) {
  return ctx.db.select().from(users).all();
}
// The hub keeps no result of a function that has used randomness.
export async function getUserByIdAnew(ctx, args) {
  Math.random();
  return getUserById(ctx, args);
}
export async function getUsersAnew(ctx) {
  Math.random();
  return getUsers(ctx);
}
export async function createUser(ctx, { name, email }) {
  return ctx.db.insert(users).values({ name, email }).returning().get();
}
export async function tenStatements(ctx, { id, name, email }) {
  for (let place = 0; place < 8; place++) await getUserById(ctx, { id: id + place });
  await ctx.db.update(users).set({ name }).where(eq(users.id, id));
  return createUser(ctx, { name, email });
}
export async function fill(ctx, { count }) {
  for (let made = 0; made < count; made++) await ctx.db.insert(users).values({ name: "Ada Lovelace" }).run();
}
export async function rename(ctx, { from, count, name }) {
  await ctx.db.update(users).set({ name }).where(and(gte(users.id, from), lt(users.id, from + count)));
}
// Waits, anew for each caller.
export async function nap() {
  Math.random();
  await new Promise((done) => setTimeout(done, 300));
}
