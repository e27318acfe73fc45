// Verifies: FUN-70, FUN-71, FUN-74, FUN-75, FUN-76, FUN-80, FUN-82
// The React app, from an empty folder to two live pages, and whatever happens to them then.

import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { App } from "./app.ts";
import { isStillLoaded, Pages, shot } from "./browser.ts";
import { until } from "./processes.ts";

const FUNCTIONS = "ferry/functions/index.ts";
const EDITS = 20;
const wait = { timeout: 30_000, interval: 20 };

let app: App;
let pages: Pages;

beforeAll(async () => {
  pages = await Pages.launch();
});
beforeEach(({ onTestFailed }) => onTestFailed(() => console.log(app?.terminal)));
afterEach(() => pages.closeAll());
afterAll(async () => {
  await pages?.end();
  await app?.end();
});

const says = (page: Page, selector: string, text: string | RegExp) =>
  expect.poll(() => page.locator(selector).textContent({ timeout: 1000 }).catch(() => ""), wait).toMatch(text);
const status = (page: Page, text: string | RegExp) => says(page, ".connection", text);
const progress = (page: Page, text: string | RegExp) => says(page, ".progress .figure", text);
const texts = (page: Page, selector: string) => page.locator(selector).evaluateAll((items) => items.map((item) => (item as HTMLInputElement).value || item.textContent));
const lists = (page: Page, wanted: string[]) => expect.poll(() => texts(page, ".list .title"), wait).toEqual(wanted);
const notes = (page: Page, wanted: string[]) => expect.poll(() => texts(page, ".notes li p:first-child"), wait).toEqual(wanted);

async function enter(page: Page, label: string, text: string): Promise<void> {
  await page.getByLabel(label).fill(text);
  await page.getByLabel(label).press("Enter");
}
const tick = (page: Page, title: string) => page.getByLabel(`Done: ${title}`).click();

test("two commands lead from an empty folder to a served page", async () => {
  const begun = performance.now();
  app = await App.init("--template", "react");
  const written = performance.now();
  await app.startPage();
  const page = await pages.open(app.pageUrl);
  await status(page, /^Up to date$/);
  await says(page, ".empty", /Nothing to do/);
  const served = performance.now();
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  console.log(`from ferry init to a live page: ${seconds(served - begun)} (init with npm install ${seconds(written - begun)}, dev ${seconds(served - written)})`);
  await pages.photograph(app.pageUrl, "empty", (photographed) => status(photographed, /^Up to date$/));
  // The types that the template brings are those of its functions.
  expect(app.read("ferry/.generated/api.d.ts")).toContain("listNotes: {");
  await app.page!.end("SIGINT");
  await until("the end of the hub", () => !app.hubIsAnnounced);
  await app.startPage();
});

test("one page mutates, the other is up to date without a reload", async () => {
  const [a, b] = [await pages.open(app.pageUrl), await pages.open(app.pageUrl, 390, "dark")];
  await status(a, /^Up to date$/);
  await status(b, /^Up to date$/);
  await enter(a, "New note", "The projector is in the cupboard on the second floor.");
  await notes(b, ["The projector is in the cupboard on the second floor."]);
  await enter(b, "New note", "Great, thank you!");
  await notes(a, ["Great, thank you!", "The projector is in the cupboard on the second floor."]);
  // What the function refuses is taken back, and the text with it.
  await enter(a, "New note", "x".repeat(281));
  await says(a, ".notes .error", /at most 280 characters/);
  expect(await a.getByLabel("New note").inputValue()).toHaveLength(281);
  await notes(a, ["Great, thank you!", "The projector is in the cupboard on the second floor."]);
  expect(await isStillLoaded(a) && await isStillLoaded(b)).toBe(true);
});

test("offline edits of the list arrive in the other page's live query", async () => {
  const [a, b] = [await pages.open(app.pageUrl), await pages.open(app.pageUrl)];
  for (const title of ["Book the venue for June", "Ask Ada about the projector"]) await enter(a, "New entry", title);
  await progress(b, /^0 of 2 done$/);
  await a.context().setOffline(true);
  await enter(a, "New entry", "Print the name tags");
  await tick(a, "Ask Ada about the projector");
  await status(a, /^Offline · \d to send$/);
  await shot(a, "offline");
  await lists(b, ["Book the venue for June", "Ask Ada about the projector"]);
  await a.context().setOffline(false);
  await progress(b, /^1 of 3 done$/);
  await progress(a, /^1 of 3 done$/);
  await lists(b, ["Book the venue for June", "Ask Ada about the projector", "Print the name tags"]);
  await pages.photograph(app.pageUrl, "filled", async (page) => {
    await lists(page, ["Book the venue for June", "Ask Ada about the projector", "Print the name tags"]);
    await progress(page, /^1 of 3 done$/);
    await status(page, /^Up to date$/);
  });
  // The other way: a function changes records, and devices have them.
  await b.getByRole("button", { name: "Clear done" }).click();
  await lists(a, ["Book the venue for June", "Print the name tags"]);
  await progress(a, /^0 of 2 done$/);
  expect(await isStillLoaded(a)).toBe(true);
});

// Verifies: FUN-25, FUN-33
test("the hub is killed and restarted; both pages recover", async () => {
  const [a, b] = [await pages.open(app.pageUrl), await pages.open(app.pageUrl)];
  await status(a, /^Up to date$/);
  await status(b, /^Up to date$/);
  app.killHub();
  await status(a, /^Offline/);
  await enter(a, "New entry", "While the hub was away");
  await says(a, ".progress .row", /As last heard/);
  app.resumeHub();
  await status(a, /^Up to date$/);
  await status(b, /^Up to date$/);
  await progress(b, /^0 of 3 done$/);
  await enter(b, "New note", "We are back");
  await expect.poll(() => texts(a, ".notes li p:first-child"), wait).toContain("We are back");
  expect(await isStillLoaded(a) && await isStillLoaded(b)).toBe(true);
});

test("a type error shows with its line while the old version serves; mended, it goes on", async () => {
  const page = await pages.open(app.pageUrl);
  await progress(page, /^0 of 3 done$/);
  const before = app.read(FUNCTIONS);
  app.page!.forget();
  app.edit(FUNCTIONS, ["return { all: row?.all ?? 0,", "return { all: row?.al ?? 0,"]);
  const line = before.split("\n").findIndex((text) => text.includes("return { all:")) + 1;
  const told = await app.page!.says(/functions\/index\.ts:\d+:\d+[^]*row\?\.al \?\?[^]*\^/);
  expect(told).toContain(`functions/index.ts:${line}:`);
  expect(told).toContain("Property 'al' does not exist");
  await enter(page, "New entry", "Served by the old version");
  await progress(page, /^0 of 4 done$/);
  app.edit(FUNCTIONS, ["row?.al ??", "row?.all ??"], ["done: row?.done ?? 0", "done: (row?.done ?? 0) + 1"]);
  await progress(page, /^1 of 4 done$/);
  app.edit(FUNCTIONS, ["done: (row?.done ?? 0) + 1", "done: row?.done ?? 0"]);
  await progress(page, /^0 of 4 done$/);
  expect(await isStillLoaded(page)).toBe(true);
});

test("an edit of a function is on the page in a moment", async () => {
  const page = await pages.open(app.pageUrl);
  await progress(page, /^0 of 4 done$/);
  const before = app.read(FUNCTIONS);
  const times: number[] = [];
  for (let n = 1; n <= EDITS; n++) {
    const seen = page.waitForFunction((text) => document.querySelector(".progress .figure")?.textContent === text, `${n} of 4 done`, { polling: "raf" });
    const begun = performance.now();
    app.edit(FUNCTIONS, [n === 1 ? "done: row?.done ?? 0" : `done: (row?.done ?? 0) + ${n - 1}`, `done: (row?.done ?? 0) + ${n}`]);
    await seen;
    times.push(performance.now() - begun);
  }
  times.sort((x, y) => x - y);
  const at = (part: number) => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * part))]!);
  console.log(`from an edit of a function to its result on the page, ${EDITS} edits: median ${at(0.5)} ms, p95 ${at(0.95)} ms`);
  app.edit(FUNCTIONS, [app.read(FUNCTIONS), before]);
  await progress(page, /^0 of 4 done$/);
  expect(await isStillLoaded(page)).toBe(true);
});

test("no page has thrown", () => {
  expect(pages.errors).toEqual([]);
});
