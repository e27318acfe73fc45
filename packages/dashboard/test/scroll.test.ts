// Verifies: OPR-56
// Long lists in the browser, of which rows have gone that were passed: whoever scrolls there is neither left without rows nor has the hub asked
// without end.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { binary, call } from "./hub.ts";
import { ADMIN, fill, hub, open, team, useBrowser, writer } from "./page.ts";

useBrowser("--rate-limit-scale", "0");

const RECORDS = 2000;
const nameOf = (at: number) => `r${String(at).padStart(4, "0")}`;

test("records that were passed and have gone since are scrolled over", async () => {
  const { token, database } = await team();
  const ask = await writer(token, database);
  const all = async (from: number, to: number, work: (name: string) => Promise<unknown>) => {
    for (let at = from; at < to; at += 50) await Promise.all(Array.from({ length: Math.min(50, to - at) }, (_, more) => work(nameOf(at + more))));
  };
  // One after the other: the newest stand first.
  for (let at = RECORDS - 1; at >= 0; at--) await ask("PUT", `records/app/notes/${nameOf(at)}`, { text: `of ${nameOf(at)}` });
  const page = await open();
  let asked = 0;
  page.on("request", (request) => (asked += /records\/app\/notes\?/.test(request.url()) ? 1 : 0));
  await fill(page, ADMIN, "Sign in");
  await page.goto(`${hub.url}/_/databases/${database}/records/-/app/notes`);
  const box = page.getByRole("region", { name: "Records of notes" });
  const names = () => box.locator("tbody tr td:first-child").allTextContents();
  await box.getByText(nameOf(0), { exact: true }).waitFor();
  await expect.poll(async () => {
    await box.evaluate((box) => (box.scrollTop = box.scrollHeight));
    return (await names()).at(-1);
  }, { timeout: 30_000 }).toBe(nameOf(RECORDS - 1));

  await all(600, 620, (name) => ask("DELETE", `records/app/notes/${name}`));
  const before = asked;
  const settled = page.locator('[aria-label="Records of notes"][aria-busy=false]');
  const met = new Set<string>();
  await box.hover();
  while (!met.has(nameOf(0))) {
    // By less than what is read at once, and where rows are gone by a few of them: whoever stays there is asked for nothing more.
    await box.evaluate((box, more) => (box.scrollTop -= more), met.has(nameOf(660)) && !met.has(nameOf(560)) ? 84 : 560);
    await settled.waitFor();
    for (const name of await names()) met.add(name);
  }
  expect([met.has(nameOf(599)), met.has(nameOf(610)), met.has(nameOf(620))]).toEqual([true, false, true]);
  // Pages of 100 for what had been let go, and what is read again every 3 s.
  expect(asked - before).toBeLessThan(60);
}, 120_000);

test("a table that is shorter now than it was when it was passed shows its last rows, wherever one scrolls", async () => {
  const { token } = await team();
  const database = (await call(hub, "CreateDatabase", { name: "file", kind: "replica" }, token)).id as string;
  const push = (count: number) => {
    const folder = mkdtempSync(join(tmpdir(), "ferry-dashboard-file-"));
    try {
      execFileSync("sqlite3", [join(folder, "file.db")], { input: `CREATE TABLE list(id INTEGER PRIMARY KEY, name);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) INSERT INTO list SELECT i, 'name ' || i FROM n;` });
      const env = { PATH: process.env.PATH, HOME: folder, FERRY_TOKEN: token };
      execFileSync(binary, ["push", join(folder, "file.db"), database, "--force", "--server", hub.url], { env, stdio: "pipe" });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
  push(5000);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.goto(`${hub.url}/_/databases/${database}/tables/list`);
  const box = page.getByRole("region", { name: "Rows of list" });
  const ids = async () => (await box.locator("tbody tr td:first-child").allTextContents()).map(Number);
  await box.getByText("name 1", { exact: true }).waitFor();
  await expect.poll(async () => {
    await box.evaluate((box) => (box.scrollTop = box.scrollHeight));
    return (await ids()).at(-1);
  }, { timeout: 30_000 }).toBeGreaterThan(3000);
  await box.evaluate((box) => (box.scrollTop = 0));
  await box.getByText("name 1", { exact: true }).waitFor();
  push(1200);
  await box.evaluate((box) => (box.scrollTop = 2500 * 28));
  await expect.poll(async () => (await ids()).at(-1)).toBe(1200);
  await page.getByText("the last rows").waitFor();
  // And from there back to the first.
  await expect.poll(async () => {
    await box.evaluate((box) => (box.scrollTop -= 1000));
    return (await ids())[0];
  }, { timeout: 30_000 }).toBe(1);
  await page.getByText("1,200 rows").waitFor();
});
