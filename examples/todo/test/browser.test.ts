// Verifies: REC-60, REC-61, REC-62, REC-63, REC-64
// The real page in a real browser: devices with an IndexedDB each.

import { mkdirSync } from "node:fs";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { modelHub, realHub, recordsAreServed, type Hub } from "./hub.ts";

const ARTIFACTS = new URL("../../../target/test-artifacts/", import.meta.url).pathname;
const startHub = recordsAreServed ? realHub : modelHub;
const wait = { timeout: 20_000, interval: 50 };

let browser: Browser;
let hub: Hub;
let contexts: BrowserContext[] = [];

beforeAll(async () => {
  mkdirSync(ARTIFACTS, { recursive: true });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
}, 60_000);

afterAll(() => browser?.close());
beforeEach(async () => void (hub = await startHub()), 30_000);

afterEach(async () => {
  await Promise.all(contexts.splice(0).map((context) => context.close()));
  await hub?.end();
});

/** A device: a context has its own storage. */
async function device(colorScheme: "light" | "dark" = "light"): Promise<{ context: BrowserContext; page: Page }> {
  const context = await browser.newContext({ viewport: { width: 760, height: 620 }, colorScheme });
  contexts.push(context);
  return { context, page: await open(context) };
}

async function open(context: BrowserContext): Promise<Page> {
  const page = await context.newPage();
  page.on("pageerror", (error) => console.error("page:", error));
  await page.goto(hub.url);
  return page;
}

const entries = (page: Page) =>
  page.locator("#list li").evaluateAll((items) =>
    items.map((item) => {
      const [, text] = item.querySelectorAll("input");
      // What is stored: the box is checked by the click alone.
      return `${item.classList.contains("done") ? "x" : " "} ${text!.value}`;
    }),
  );
const shows = (page: Page, wanted: string[]) => expect.poll(() => entries(page), wait).toEqual(wanted);
const says = (page: Page, text: string | RegExp) => expect.poll(() => page.locator("#status").textContent(), wait).toMatch(text);

async function add(page: Page, title: string): Promise<void> {
  await page.fill("#title", title);
  await page.press("#title", "Enter");
}

async function rename(page: Page, from: string, to: string): Promise<void> {
  const place = (await entries(page)).findIndex((entry) => entry.slice(2) === from);
  const text = page.locator("#list li").nth(place).locator(".title");
  await text.fill(to);
  await text.press("Enter");
}

const shot = (page: Page, name: string) => page.screenshot({ path: `${ARTIFACTS}todo-${name}.png` });

test("two devices edit offline and converge", async () => {
  const [a, b] = [await device(), await device("dark")];
  await says(a.page, "Up to date");
  await shot(a.page, "empty");
  await add(a.page, "Buy milk");
  await add(a.page, "Post the letter");
  await add(a.page, "Water the plants");
  await shows(b.page, ["  Buy milk", "  Post the letter", "  Water the plants"]);

  await a.context.setOffline(true);
  await b.context.setOffline(true);
  await rename(a.page, "Buy milk", "Buy oat milk");
  await a.page.getByLabel("Remove: Post the letter").click();
  await b.page.getByLabel("Done: Buy milk").check();
  await add(b.page, "Call Ada");
  await says(a.page, "Offline · 2 to send");
  await says(b.page, "Offline · 2 to send");
  await shows(a.page, ["  Buy oat milk", "  Water the plants"]);
  await shot(b.page, "offline");

  // What waits outlives the page, which comes from the hub again.
  await b.context.setOffline(false);
  await b.page.reload();
  await shows(b.page, ["x Buy milk", "  Post the letter", "  Water the plants", "  Call Ada"]);
  await a.context.setOffline(false);
  const merged = ["x Buy oat milk", "  Water the plants", "  Call Ada"];
  await shows(a.page, merged);
  await shows(b.page, merged);
  await says(a.page, /^Up to date$/);
  await says(b.page, /^Up to date$/);
  await shot(a.page, "merged");
  await shot(b.page, "merged-dark");

  const fresh = await device();
  await shows(fresh.page, merged);
}, 120_000);

test("tabs of one device share one connection, and another leads when the first is closed", async () => {
  const [a, b] = [await device(), await device()];
  const second = await open(a.context);
  await says(second, "Up to date");
  await add(second, "From the second tab");
  await shows(a.page, ["  From the second tab"]);
  await shows(b.page, ["  From the second tab"]);
  await a.page.close();
  await add(b.page, "For the tab that is left");
  await shows(second, ["  From the second tab", "  For the tab that is left"]);
  await add(second, "And back");
  await shows(b.page, ["  From the second tab", "  For the tab that is left", "  And back"]);
}, 120_000);

test("the hub is killed and comes back; nothing is lost and nothing doubled", async () => {
  const [a, b] = [await device(), await device()];
  await add(a.page, "Before");
  await shows(b.page, ["  Before"]);
  await hub.kill();
  await add(a.page, "During, at a");
  await add(b.page, "During, at b");
  await says(a.page, "Offline · 1 to send");
  await hub.start();
  const all = ["  Before", "  During, at a", "  During, at b"];
  await shows(a.page, all);
  await shows(b.page, all);
  await says(a.page, /^Up to date$/);
}, 120_000);

test("the binary serves the page in --dev, and the page works without any sync", async () => {
  await hub.end();
  hub = await realHub();
  const { page } = await device();
  await add(page, "Kept by the browser");
  await page.getByLabel("Done: Kept by the browser").check();
  await shows(page, ["x Kept by the browser"]);
  await page.reload();
  await shows(page, ["x Kept by the browser"]);
}, 60_000);
