// Verifies: FUN-70, FUN-72
// The React app at a hub as it is in production: an account, a database, a key, a built page.

import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { App } from "./app.ts";
import { Pages } from "./browser.ts";
import { freePort, Running } from "./processes.ts";

const wait = { timeout: 30_000, interval: 50 };
let app: App;
let pages: Pages;
let hub: Running | undefined;
let preview: Running | undefined;

beforeAll(async () => {
  pages = await Pages.launch();
  app = await App.init("--template", "react");
});
beforeEach(({ onTestFailed }) => onTestFailed(() => console.log(hub?.said, preview?.said)));
afterAll(async () => {
  await pages?.end();
  await preview?.end();
  await hub?.end();
  await app?.end();
});

const status = (page: Page) => page.locator(".connection").textContent({ timeout: 1000 }).catch(() => "");
const titles = (page: Page) => page.locator(".list .title").evaluateAll((items) => items.map((item) => (item as HTMLInputElement).value));

test("an app is deployed, and its built page is live", async () => {
  const [hubPort, pagePort] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${hubPort}`;
  const pageUrl = `http://localhost:${pagePort}`;
  hub = app.start(["serve", "--listen", `127.0.0.1:${hubPort}`, "--data-dir", app.path("../hub"), "--cors-origins", pageUrl]);
  await hub.says(/ listens on /);
  const env = { FERRY_SERVER: url, FERRY_PASSWORD: "correct horse battery staple" };
  await app.ferry(["signup", "you@example.com"], env);
  await app.ferry(["db", "create", "my-app"], env);
  const dry = await app.ferry(["deploy", url, "--database", "my-app", "--dry-run"], env);
  expect(dry).toContain("notes");
  await app.ferry(["deploy", url, "--database", "my-app"], env);
  const made = await app.ferry(["key", "create", "my-app", "--model", "functions,records", "--origin", pageUrl], env);
  const key = /fy_pk_[a-z0-9]+/.exec(made)![0];
  await app.npm(["run", "build"], { FERRY_URL: url, FERRY_KEY: key });
  preview = new Running("npm", ["run", "preview", "--", "--port", String(pagePort), "--strictPort"], app.folder);
  await preview.says(/Local:/);

  const [a, b] = [await pages.open(pageUrl), await pages.open(pageUrl)];
  await expect.poll(() => status(a), wait).toBe("Up to date");
  await a.getByLabel("New note").fill("From the built page");
  await a.getByLabel("New note").press("Enter");
  await expect.poll(() => b.locator(".notes li p:first-child").allTextContents(), wait).toEqual(["From the built page"]);
  await a.getByLabel("New entry").fill("Synced through a real hub");
  await a.getByLabel("New entry").press("Enter");
  await expect.poll(() => titles(b), wait).toEqual(["Synced through a real hub"]);
  await expect.poll(() => b.locator(".progress .figure").textContent(), wait).toBe("0 of 1 done");
  expect(pages.errors).toEqual([]);
});
