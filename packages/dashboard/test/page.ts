/** A browser, a hub, and who works there: what the tests of the page have in common. */

import { mkdirSync, readFileSync } from "node:fs";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { call, startHub, type Hub } from "./hub.ts";

const ARTIFACTS = new URL("../../../target/test-artifacts/dashboard/", import.meta.url).pathname;
const DIST = new URL("../dist/", import.meta.url).pathname;
const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
export const ADMIN = { email: "ada@example.com", password: "a long password" };
export const VIEWER = { email: "vic@example.com", password: "another password" };
export const HOSTILE = `<img src=x onerror="window.hit=1"><script>window.hit=1</script>`;

let browser: Browser;
export let hub: Hub;
let contexts: BrowserContext[] = [];
/** What no page may do: throw, break the content policy, ask another origin. */
let faults: string[] = [];

/** Variables of the hub, by its URL, and where a page may ask beside it; to be set before the first test. */
export const around: { environment: (url: string) => Record<string, string>; origins: string[] } = { environment: () => ({}), origins: [] };

/** Starts one browser for the file, and a hub with these settings for each test. */
export function useBrowser(...settings: string[]): void {
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
  beforeEach(async () => {
    faults = [];
    hub = await startHub(settings, around.environment);
  }, 30_000);
  afterEach(async () => {
    const done = contexts.splice(0);
    // What a page asks for as it is closed is nobody's fault.
    await Promise.all(done.flatMap((context) => context.pages()).map((page) => page.unrouteAll({ behavior: "ignoreErrors" })));
    await Promise.all(done.map((context) => context.close()));
    await hub?.end();
    expect(faults).toEqual([]);
  });
}

export async function open(options: Parameters<Browser["newContext"]>[0] = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  contexts.push(context);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => faults.push(`thrown: ${error.message}`));
  page.on("console", (message) => {
    // A refusal of the hub is shown by the page, and by the browser's console too.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) faults.push(message.text());
  });
  page.on("request", (request) => {
    const known = [hub.url, ...around.origins].some((origin) => request.url().startsWith(origin));
    if (!known && !/^(data|blob):/.test(request.url())) faults.push(`foreign: ${request.url()}`);
  });
  if (process.env.DASHBOARD_DIST) {
    // While one works on the page: what `vite build` made, in place of what the binary has built in.
    await page.route(/\/_\/(app|hub|editor|linked)\.(js|css)(\?.*)?$/, async (route) => {
      const answer = await route.fetch();
      const { "content-encoding": _, ...headers } = answer.headers();
      const { pathname, search } = new URL(route.request().url());
      // Its files name each other as those of the binary do.
      const text = readFileSync(DIST + pathname.split("/").at(-1)!, "utf8").replace(/(["'`])(\.\/(?:app|hub|editor|linked)\.js)\1/g, `$1$2${search}$1`);
      const type = pathname.endsWith(".js") ? "text/javascript" : "text/css";
      await route.fulfill({ status: 200, headers: { ...headers, "content-type": type }, body: text });
    });
  }
  await page.goto(hub.url);
  return page;
}

export async function fill(page: Page, { email, password }: typeof ADMIN, button: string): Promise<void> {
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: button, exact: true }).click();
  await page.getByRole("heading", { name: "Databases" }).waitFor();
}

/** An admin with a database, and the session of a program of hers. */
export async function team(): Promise<{ token: string; database: string; org: string }> {
  const made = await call(hub, "Signup", ADMIN);
  const database = await call(hub, "CreateDatabase", { name: "notes", kind: "hub" }, made.sessionToken);
  return { token: made.sessionToken, database: database.id, org: database.orgId };
}

/** A token that may do all, and a request to the database that it opens. */
export async function writer(token: string, database: string) {
  const made = await call(hub, "IssueSyncToken", { databaseId: database, ops: ["read", "write", "admin"], ttlSeconds: 600 }, token);
  return async (method: string, path: string, body?: unknown, more: Record<string, string> = {}): Promise<any> => {
    const headers = { Authorization: `Bearer ${made.token}`, "Content-Type": "application/json", ...more };
    const answer = await fetch(`${hub.url}/v1/databases/-/${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  };
}

/** A picture, of a page of which nothing but tables is wider than the window. */
export async function shot(page: Page, name: string): Promise<void> {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(wide, name).toBe(0);
  await page.screenshot({ path: `${ARTIFACTS}${name}.png` });
}

/** What axe finds that is serious: nothing. */
export async function accessible(page: Page, name: string): Promise<void> {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const axe = (window as unknown as { axe: { run: (options: object) => Promise<{ violations: any[] }> } }).axe;
    const { violations } = await axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
    return violations.filter((one) => ["serious", "critical"].includes(one.impact))
      .map((one) => `${one.id}: ${one.nodes.map((node: any) => `${node.html.slice(0, 120)} ${node.failureSummary?.split("\n")[1] ?? ""}`).slice(0, 3).join(" | ")}`);
  });
  expect(found, name).toEqual([]);
}

/** Types a statement in place of what stands in the editor: `fill` would make Chromium style what it inserts. */
export async function type(page: Page, sql: string): Promise<void> {
  await page.locator("[data-typing] .cm-content").press("Control+A");
  await page.keyboard.insertText(sql);
}
