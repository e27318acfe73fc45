// Verifies: FUN-73
// Pages are compiled against `.generated/api.d.ts` alone.

import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { App } from "./app.ts";
import { run } from "./processes.ts";

const TEMPLATES = new URL("../../../crates/cli/templates/", import.meta.url).pathname;
let app: App;

beforeAll(async () => {
  app = await App.init("--template", "react");
});
afterAll(() => app?.end());

/** The types of the API as the checker makes them. */
async function generate(): Promise<void> {
  const checker = app.path("node_modules/@ferry/server/dist/codegen/main.js");
  const { apiDts } = JSON.parse(await run(process.execPath, [checker, "ferry", "--once"], app.folder));
  writeFileSync(app.path("ferry/.generated/api.d.ts"), apiDts);
}

test("the template builds as it is, and its types are those that the checker makes", async () => {
  await app.npm(["run", "build"], { FERRY_URL: "https://hub.example.com", FERRY_KEY: "fy_pk_of_the_build" });
  const shipped = readFileSync(join(TEMPLATES, "react/ferry/.generated/api.d.ts"), "utf8");
  await generate();
  expect(app.read("ferry/.generated/api.d.ts")).toBe(shipped);
});

test("a renamed column breaks the compilation of the page that shows it", async () => {
  cpSync(app.path("ferry"), app.path("ferry-before"), { recursive: true });
  app.edit("ferry/schema.ts", [`body: text("body")`, `content: text("content")`]);
  app.edit("ferry/functions/index.ts", ["values({ author, body: text })", "values({ author, content: text })"]);
  await generate();
  const errors = await app.tsc(2);
  expect(errors).toMatch(/src\/Notes\.tsx\(\d+,\d+\): error TS2339: Property 'body' does not exist/);
  rmSync(app.path("ferry"), { recursive: true });
  cpSync(app.path("ferry-before"), app.path("ferry"), { recursive: true });
  await app.tsc();
});

test("no source of the server is needed", async () => {
  for (const name of ["functions", "schema.ts", "types.ts", "middlewares.ts"]) rmSync(app.path(`ferry/${name}`), { recursive: true });
  rmSync(app.path("node_modules/@ferry/server"), { recursive: true });
  rmSync(app.path("node_modules/drizzle-orm"), { recursive: true });
  await app.tsc();
});
