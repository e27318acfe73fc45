// A project in a folder of its own, with the packages that `npm install` would have put there.
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { checkerOf } from "../../src/codegen/check.ts";

const modules = new URL("../../node_modules/", import.meta.url).pathname;
const embedded = new URL("../../../../crates/cli/packages/server", import.meta.url).pathname;

export const SCHEMA = `
import { blob, collection, integer, real, relations, table, text } from "@ferry/server/schema";
export const users = table("users", {
  id: integer("id").primaryKey({ autoIncrement: true }),
  name: text("name").notNull(),
  email: text("email"),
  createdAt: integer("created_at", { mode: "timestamp" }).notNull(),
  balance: blob("balance", { mode: "bigint" }),
  photo: blob("photo", { mode: "buffer" }),
  settings: text("settings", { mode: "json" }).$type<{ theme: "light" | "dark"; tags?: string[] }>(),
  role: text("role", { enum: ["user", "admin"] }).notNull(),
  score: real("score"),
});
export const posts = table("posts", { id: integer("id").primaryKey(), title: text("title").notNull(), authorId: integer("author_id") });
export const usersRelations = relations(users, ({ many }) => ({ posts: many(posts) }));
export const postsRelations = relations(posts, ({ one }) => ({ author: one(users, { fields: [posts.authorId], references: [users.id] }) }));
export const todos = collection("todos", { app: "todo", title: text().notNull(), done: integer({ mode: "boolean" }).notNull() });
`;
export const TYPES = `
import type * as schema from "./schema";
declare module "@ferry/server" { interface Register { schema: typeof schema; env: { KEY: string } } }
`;
const IMPORTS = `import { action, createMiddleware, type FerryContext, internal, mutation, query } from "@ferry/server";
import { eq } from "@ferry/server/schema";
import { posts, todos, users } from "../schema";
export type Used = [typeof action, typeof createMiddleware, FerryContext, typeof internal, typeof mutation, typeof query, typeof eq, typeof posts, typeof todos, typeof users];
`;

export function makeProject(files: Record<string, string> = {}) {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "ferry-codegen-")));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "node_modules/@ferry"), { recursive: true });
  cpSync(embedded, join(folder, "node_modules/@ferry/server"), { recursive: true });
  for (const name of ["drizzle-orm", "@standard-schema", "typescript", "zod"]) symlinkSync(modules + name, join(folder, "node_modules", name));
  const write = (name: string, text: string) => {
    const path = join(folder, "ferry", name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  };
  for (const [name, text] of Object.entries({ "schema.ts": SCHEMA, "types.ts": TYPES, ...files })) write(name, text);
  return { folder, write, check: checkerOf(folder, join(folder, "ferry")).check };
}

/** `functions/index.ts` with the imports that any of them needs. */
export const functions = (source: string): string => IMPORTS + source;

/** The API of functions, as text without the frame of the file. */
export function apiOf(source: string, files: Record<string, string> = {}): string {
  const { check } = makeProject({ "functions/index.ts": functions(source), ...files });
  const { diagnostics, apiDts } = check();
  if (apiDts === undefined) throw new Error(diagnostics.map(({ file, line, message }) => `${file}:${line}: ${message}`).join("\n"));
  return apiDts.slice(apiDts.indexOf("export interface Api"), apiDts.indexOf("declare module")).trim();
}
