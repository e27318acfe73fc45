import { spawnSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
// @ts-expect-error It is a script, and has no types.
import { builtModules } from "../scripts/modules.mjs";

test("these tests run over drizzle as it is built in", () => {
  expect(Object.hasOwn(sql`x`, "usedTables")).toBe(false);
});

const directory = new URL("../../../crates/functions/js/dist/", import.meta.url);

test("what is built into the hub is what `npm run embed` makes", async () => {
  const modules: Map<string, string> = await builtModules();
  const found = (await readdir(directory)).filter((name) => name.endsWith(".js")).sort();
  expect(found).toEqual([...modules.keys()].sort());
  for (const [name, source] of modules) {
    const isSame = (await readFile(new URL(name, directory), "utf8")) === source;
    expect(isSame, `${name} is stale: npm run embed`).toBe(true);
  }
});

test("what `ferry init` packs is what `npm run embed:package` makes", () => {
  const script = new URL("../../embed-package.mjs", import.meta.url).pathname;
  const checked = spawnSync(process.execPath, [script, "--check"], { cwd: new URL("..", import.meta.url), encoding: "utf8" });
  expect(checked.stderr).toBe("");
  expect(checked.status).toBe(0);
}, 60_000);
