// docs/functions/tutorial.md can be followed.

import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { App } from "./app.ts";
import { Pages } from "./browser.ts";
import { until } from "./processes.ts";

const wait = { timeout: 30_000, interval: 50 };
const tutorial = readFileSync(new URL("../../../docs/functions/tutorial.md", import.meta.url), "utf8");
let app: App;
let pages: Pages;

beforeAll(async () => {
  pages = await Pages.launch();
  app = await App.init("--template", "plain");
  await app.startPage();
});
beforeEach(({ onTestFailed }) => onTestFailed(() => console.log(app?.terminal)));
afterAll(async () => {
  await pages?.end();
  await app?.end();
});

/** The piece of code whose first line names this file. */
function code(name: string): string {
  const found = new RegExp("```ts\\n// " + name.replaceAll(".", "\\.") + "(?:, before: (?<before>.*))?\\n(?<text>[^`]*(?:`[^`]+`[^`]*)*?)```").exec(tutorial);
  if (!found) throw new Error(`the tutorial has no code for ${name}`);
  const { before, text } = found.groups as { before?: string; text: string };
  if (before === undefined) return text;
  const file = app.read(name);
  if (!file.includes(before)) throw new Error(`${name} does not say ${before}`);
  return file.replace(`  ${before}`, `${text}  ${before}`);
}

test("the tutorial leads to pages that count likes", async () => {
  const [a, b] = [await pages.open(app.pageUrl), await pages.open(app.pageUrl)];
  for (const page of [a, b]) await page.locator("#empty").waitFor();
  const bodies = (page: Page) => page.locator("#notes p").allTextContents();
  await a.getByLabel("New note").fill("Written before there were likes");
  await a.getByLabel("New note").press("Enter");
  await expect.poll(() => bodies(b), wait).toEqual(["Written before there were likes"]);
  app.write("ferry/schema.ts", code("ferry/schema.ts"));
  await app.page!.says(/add column[^]*likes[^]*swapped/i);
  app.write("ferry/functions/index.ts", code("ferry/functions/index.ts"));
  await until("the types of like", () => app.read("ferry/.generated/api.d.ts").includes("like: {"), () => app.terminal);
  app.write("src/main.ts", code("src/main.ts"));
  await app.tsc();
  const like = (page: Page) => page.getByRole("button", { name: /^Like/ });
  await expect.poll(() => like(a).count(), wait).toBe(1);
  await like(a).click();
  await expect.poll(() => like(b).textContent({ timeout: 1000 }).catch(() => ""), wait).toBe("Liked 1×");
  await like(b).click();
  await expect.poll(() => like(a).textContent({ timeout: 1000 }).catch(() => ""), wait).toBe("Liked 2×");
  expect(pages.errors).toEqual([]);
});
