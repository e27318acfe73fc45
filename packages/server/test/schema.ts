import {
  blob, collection, index, integer, relations, sql, sqliteView, table, text,
} from "../src/schema.ts";

export const users = table("users", {
  id: integer("id").primaryKey(),
  fullName: text("full_name").notNull(),
  email: text("email").unique(),
  age: integer("age"),
  active: integer("active", { mode: "boolean" }).notNull().default(true),
  createdAt: integer("created_at", { mode: "timestamp" }).$defaultFn(() => new Date(1_700_000_000_000)),
  settings: text("settings", { mode: "json" }).$type<{ theme: string }>(),
  avatar: blob("avatar"),
});

export const posts = table("posts", {
  id: integer("id").primaryKey({ autoIncrement: true }),
  authorId: integer("author_id").references(() => users.id, { onDelete: "cascade" }),
  title: text("title").notNull(),
  likes: integer("likes").notNull().default(0).$onUpdate(() => sql`likes + 1`),
}, (t) => [index("posts_author").on(t.authorId)]);

export const wide = table("wide", Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`c${i}`, integer(`c${i}`)])));

export const usersRelations = relations(users, ({ many }) => ({ posts: many(posts) }));
export const postsRelations = relations(posts, ({ one }) => ({
  author: one(users, { fields: [posts.authorId], references: [users.id] }),
}));

export const adults = sqliteView("adults").as((qb) => qb.select({ id: users.id, name: users.fullName }).from(users).where(sql`${users.age} >= 18`));

export const tasks = collection("tasks", {
  app: "todo",
  title: text().index(),
  done: integer({ mode: "boolean" }),
});
