// Verifies: FUN-70, FUN-71, FUN-74
// The page without a framework.

import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { App } from "./app.ts";
import { isStillLoaded, Pages } from "./browser.ts";

const wait = { timeout: 30_000, interval: 20 };
let app: App;
let pages: Pages;

beforeAll(async () => {
  pages = await Pages.launch();
  app = await App.init("--template", "plain");
  await app.startPage();
});
afterAll(async () => {
  await pages?.end();
  await app?.end();
});

const notes = (page: Page, wanted: string[]) => expect.poll(() => page.locator("#notes p").allTextContents(), wait).toEqual(wanted);
const status = (page: Page, wanted: string) => expect.poll(() => page.locator("#connection").textContent(), wait).toBe(wanted);

async function add(page: Page, body: string): Promise<void> {
  await page.getByLabel("New note").fill(body);
  await page.getByLabel("New note").press("Enter");
}

test("two pages without a framework are live", async () => {
  const [a, b] = [await pages.open(app.pageUrl), await pages.open(app.pageUrl, 390, "dark")];
  await status(a, "Up to date");
  await pages.photograph(app.pageUrl, "plain-empty", (page) => status(page, "Up to date"));
  await add(a, "Milk, and bread if there is any");
  await notes(b, ["Milk, and bread if there is any"]);
  await add(b, "Six eggs");
  await notes(a, ["Six eggs", "Milk, and bread if there is any"]);
  await pages.photograph(app.pageUrl, "plain-filled", (page) => notes(page, ["Six eggs", "Milk, and bread if there is any"]));
  await b.getByLabel("Remove: Six eggs").click();
  await notes(a, ["Milk, and bread if there is any"]);
  await add(a, "x".repeat(281));
  await expect.poll(() => a.locator("#trouble").textContent(), wait).toContain("at most 280 characters");
  expect(await isStillLoaded(a) && await isStillLoaded(b)).toBe(true);
  expect(pages.errors).toEqual([]);
});

test("it type-checks, and builds with the hub that the environment names", async () => {
  await app.npm(["run", "build"], { FERRY_URL: "https://hub.example.com/v1/databases/app", FERRY_KEY: "fy_pk_of_the_build" });
  expect(app.built()).toContain("fy_pk_of_the_build");
  expect(app.built()).toContain("https://hub.example.com/v1/databases/app");
});
