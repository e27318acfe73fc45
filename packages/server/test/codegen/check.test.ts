// Verifies: FUN-71, FUN-73
import { spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkerOf } from "../../src/codegen/check.ts";
import { functions, makeProject, SCHEMA } from "./project.ts";

const FINE = functions(`export const names = query(async (ctx) => (await ctx.db.select().from(users)).map((user) => user.name));\n`);

test("what is wrong is told with its place and its line; mended, the API is the same again", () => {
  const { check, write } = makeProject({ "functions/index.ts": FINE });
  const first = check();
  expect(first.diagnostics).toEqual([]);
  write("functions/index.ts", FINE.replace("user.name", "user.nam"));
  const broken = check();
  expect(broken.ok).toBe(false);
  expect(broken.apiDts).toBeUndefined();
  expect(broken.diagnostics).toMatchObject([{
    file: "functions/index.ts", line: 5, column: 98, length: 3, code: 2551,
    sourceLine: FINE.split("\n")[4]!.replace("user.name", "user.nam"),
    message: expect.stringMatching(/^Property 'nam' does not exist .* Did you mean 'name'\?$/s),
  }]);
  write("functions/index.ts", FINE);
  const mended = check();
  expect(mended.ok).toBe(true);
  expect(mended.apiDts).toBe(first.apiDts);
  console.log(`a check of a small project: ${first.ms} ms at first, ${broken.ms} and ${mended.ms} ms after edits`);
}, 60_000);

test("errors of the schema, of imported files and of files that appear and vanish", () => {
  const { check, write, folder } = makeProject({ "functions/index.ts": FINE });
  write("schema.ts", SCHEMA.replace(`text("name")`, `textt("name")`));
  expect(check().diagnostics[0]).toMatchObject({ file: "schema.ts", line: 5, message: expect.stringContaining("textt") });
  write("schema.ts", SCHEMA);
  write("functions/index.ts", `${FINE}export { later } from "../lib/later";\n`);
  expect(check().diagnostics).toMatchObject([{ file: "functions/index.ts", code: 2307 }]);
  write("lib/later.ts", `export const later = async (): Promise<number> => "text";`);
  expect(check().diagnostics).toMatchObject([{ file: "lib/later.ts", line: 1, code: 2322 }]);
  write("lib/later.ts", `export const later = async (): Promise<Date> => new Date();`);
  expect(check().apiDts).toContain("later: {");
  rmSync(join(folder, "ferry/lib"), { recursive: true });
  expect(check().ok).toBe(false);
}, 60_000);

test("a renamed column is an error where it is used, and another type where it is not", () => {
  const { check, write } = makeProject({ "functions/index.ts": functions(`export const all = query(async (ctx) => ctx.db.select().from(users));`) });
  expect(check().apiDts).toContain("email: string | null");
  write("schema.ts", SCHEMA.replace("email: text", "address: text"));
  const renamed = check().apiDts;
  expect(renamed).toContain("address: string | null");
  expect(renamed).not.toContain("email");
}, 60_000);

test("the project's own options count, and its syntax errors are told alone", () => {
  const { check, write, folder } = makeProject({ "functions/index.ts": FINE });
  writeFileSync(join(folder, "tsconfig.json"), `{ "compilerOptions": { "strict": true, "noUnusedLocals": true, "module": "esnext", "moduleResolution": "bundler", "target": "es2022", "skipLibCheck": true } }`);
  const { check: withOptions } = checkerOf(folder, join(folder, "ferry"));
  write("functions/index.ts", `${FINE}const unused = 1;\n`);
  expect(withOptions().diagnostics).toMatchObject([{ code: 6133 }]);
  expect(check().ok).toBe(true);
  write("functions/index.ts", `${FINE}export const broken = query(async (ctx => 1;\n`);
  expect(check().diagnostics[0]).toMatchObject({ file: "functions/index.ts", line: 6 });
}, 60_000);

test("EdgePod's programs import what they always did", () => {
  const { check } = makeProject({
    "functions/index.ts": `import { createMiddleware, type EdgePodContext } from "@edgepod/server";
import { users } from "../schema";
import type * as schema from "../schema";
const open = createMiddleware<EdgePodContext<typeof schema>>((_ctx, _args, next) => next());
export const getUsers = open(async (ctx: EdgePodContext<typeof schema>) => ctx.db.select({ id: users.id }).from(users));`,
  });
  expect(check().apiDts).toContain("result: { id: number }[];");
}, 60_000);

test("the process answers line by line", async () => {
  const { folder, write } = makeProject({ "functions/index.ts": FINE });
  const main = join(folder, "node_modules/@ferry/server/dist/codegen/main.js");
  const child = spawn(process.execPath, [main, "ferry"], { cwd: folder, stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (line: string) => {
    child.stdin.write(`${line}\n`);
    return JSON.parse((await lines.next()).value);
  };
  expect(await ask(`{"id":1,"check":true}`)).toMatchObject({ id: 1, ok: true, diagnostics: [], ms: expect.any(Number) });
  write("functions/index.ts", `${FINE}export const x: string = 1;\n`);
  expect(await ask(`{"id":2,"check":true}`)).toMatchObject({ id: 2, ok: false, diagnostics: [{ line: 6 }] });
  expect(await ask(`{"id":3}`)).toMatchObject({ id: 3, error: expect.stringContaining("expected") });
  expect(await ask(`nonsense`)).toMatchObject({ id: null, error: expect.any(String) });
  child.stdin.end();
  await new Promise((resolve) => child.once("exit", resolve));
  expect(child.exitCode).toBe(0);

  const once = () => spawnSync(process.execPath, [main, "ferry", "--once"], { cwd: folder, encoding: "utf8" });
  expect(once()).toMatchObject({ status: 1 });
  rmSync(join(folder, "node_modules/typescript"));
  expect(once()).toMatchObject({ status: 2, stdout: expect.stringContaining("npm install --save-dev typescript") });
}, 60_000);
