// Verifies: OPR-52, OPR-56, OPR-57, OPR-59
// What stands in a database, looked at in the page of the real binary in a real browser.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { binary, call } from "./hub.ts";
import { accessible, ADMIN, fill, HOSTILE, hub, open, shot, team, type, useBrowser, VIEWER, writer } from "./page.ts";

// A thousand databases are made at once.
useBrowser("--rate-limit-scale", "0");

/** A file that SQL makes, pushed as the database `name` of whoever holds `session`. */
async function pushed(name: string, sql: string, session: string, over?: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "ferry-dashboard-file-"));
  try {
    execFileSync("sqlite3", [join(folder, "file.db")], { input: sql });
    const id = over ?? (await call(hub, "CreateDatabase", { name, kind: "replica" }, session)).id;
    execFileSync(binary, ["push", join(folder, "file.db"), id, "--force", "--server", hub.url], {
      env: { PATH: process.env.PATH, HOME: folder, FERRY_TOKEN: session }, stdio: "pipe",
    });
    return id;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const MANY = `
  CREATE TABLE many(id INTEGER PRIMARY KEY, name TEXT, big INT, real REAL, bytes BLOB, long TEXT);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250)
    INSERT INTO many SELECT i, 'name ' || i, 9007199254740992 + i, i, CASE i WHEN 1 THEN x'00ff' END, CASE i WHEN 1 THEN printf('%.9000c', 'x') END FROM n;
  INSERT INTO many(id, name) VALUES (9007199254740993, '${HOSTILE.replaceAll("'", "''")}');
  CREATE TABLE "odd ""name"(a, b, PRIMARY KEY(a, b)) WITHOUT ROWID; INSERT INTO "odd ""name" VALUES (1, 'x'), (1, 'y'), (NULL + 2, 'z') ON CONFLICT DO NOTHING;
  CREATE VIEW names AS SELECT name FROM many;`.replace("(NULL + 2, 'z')", "(2, 'z')");

async function at(page: Page, database: string, ...parts: string[]): Promise<void> {
  await page.goto(`${hub.url}/_/databases/${database}/${parts.map(encodeURIComponent).join("/")}`);
}

/** What is marked in the editor, which stands in a shadow root. */
const marked = (page: Page) => page.evaluate(() =>
  (document.querySelector("[data-typing]")!.shadowRoot as unknown as { getSelection: () => Selection }).getSelection().toString());

const cells = (page: Page, row: number) => page.locator(".grid tbody tr").nth(row).locator("td").allTextContents();

test("a table is paged by its key, values are exact, and what is long opens", async () => {
  const { token } = await team();
  const database = await pushed("file", MANY, token);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.getByRole("link", { name: "file" }).click();
  await page.getByRole("link", { name: "Tables", exact: true }).click();
  await page.getByRole("link", { name: "many", exact: true }).click();
  await page.getByText(/^rows 1 to \d+/).waitFor();
  expect(await cells(page, 0)).toEqual(["1", "name 1", "9007199254740993", "1.0", "blob 2 B 00ff", `${"x".repeat(80)}…`]);
  expect((await cells(page, 1)).slice(4)).toEqual(["NULL", "NULL"]);
  // What was cut is read whole.
  await page.getByTitle("Show all of long").first().click();
  await expect.poll(() => page.locator("dialog pre").textContent()).toBe("x".repeat(9000));
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  const rows = page.getByRole("region", { name: "Rows of many" });
  await rows.evaluate((box) => (box.scrollTop = 100 * 28));
  await page.getByRole("cell", { name: "name 101" }).waitFor();
  // The last row's key is one that JavaScript's numbers do not hold; its text is text.
  await expect.poll(async () => {
    await rows.evaluate((box) => (box.scrollTop = box.scrollHeight));
    return (await page.locator(".grid tbody tr").last().locator("td").allTextContents()).slice(0, 2);
  }).toEqual(["9007199254740993", HOSTILE]);
  await page.getByText(/^251 rows/).waitFor();
  expect(await rows.locator("table").getAttribute("aria-rowcount")).toBe("252");
  expect(await page.evaluate(() => (window as { hit?: number }).hit)).toBeUndefined();
  await page.getByRole("button", { name: "First" }).click();
  await page.getByRole("cell", { name: "name 1", exact: true }).waitFor();
  await page.getByRole("button", { name: "Last" }).click();
  await page.getByRole("cell", { name: HOSTILE }).waitFor();
  await page.getByText(/^the last rows/).waitFor();
  expect(await rows.locator("table").getAttribute("aria-rowcount")).toBe("-1");
  await rows.evaluate((box) => (box.scrollTop -= 150 * 28));
  await page.getByRole("cell", { name: "name 100", exact: true }).waitFor();
  // Once the first one was seen, all are counted; what is in sight stays.
  await expect.poll(() => rows.evaluate((box) => (box.scrollTop = Math.max(0, box.scrollTop - 1000)))).toBe(0);
  await page.getByText(/^251 rows/).waitFor();
  await expect.poll(async () => {
    await rows.evaluate((box) => (box.scrollTop = 0));
    return (await cells(page, 0)).slice(0, 2);
  }).toEqual(["1", "name 1"]);

  await page.getByLabel("Column").selectOption("big");
  await page.getByLabel("Test").selectOption("equals");
  await page.getByLabel("Value").fill("9007199254740995");
  await page.getByRole("button", { name: "Filter", exact: true }).click();
  await page.getByText("1 rows").waitFor();
  expect((await cells(page, 0)).slice(0, 3)).toEqual(["3", "name 3", "9007199254740995"]);
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "CSV", exact: true }).click();
  expect(readFileSync((await (await saved).path())!, "utf8")).toBe("id,name,big,real,bytes,long\r\n3,name 3,9007199254740995,3.0,,\r\n");

  for (const [name, rows] of [['odd "name', ["1", "x"]], ["names", ["name 1"]], ["sqlite_schema", []]] as const) {
    await at(page, database, "tables", name);
    if (name === "sqlite_schema") await page.getByText("No table or view here is called").waitFor();
    else {
      await page.locator(".grid").waitFor();
      expect(await cells(page, 0)).toEqual(rows);
    }
  }
  await at(page, database, "tables");
  await page.getByRole("link", { name: "many", exact: true }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("ODD");
  await page.getByRole("link", { name: "many" }).waitFor({ state: "detached" });
  await page.getByRole("link", { name: 'odd "name' }).waitFor();
});

test("the editor offers names of tables and columns, keys stay its own, and a plain field takes its place where it does not come", async () => {
  const { token } = await team();
  const database = await pushed("file", MANY, token);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await at(page, database, "sql");
  await page.locator("[data-typing] .cm-content").waitFor();
  const area = page.getByLabel("One statement that reads");
  await type(page, "SELECT * FROM ");
  await area.pressSequentially("ma");
  await page.locator(".cm-tooltip-autocomplete").getByText("many").waitFor();
  await accessible(page, "editor");
  await page.keyboard.press("Enter");
  await expect.poll(() => area.textContent()).toBe("SELECT * FROM many");
  // The letters of pages are letters here.
  await area.pressSequentially(" WHERE name LIKE 'g%' -- gh?");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+Enter");
  await page.getByText("Nothing was found").waitFor();
  for (const [width, height] of [[390, 844], [768, 1024], [1280, 800], [1920, 1080]] as const) {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await shot(page, `editor-${width}-${colorScheme}`);
      await accessible(page, "editor");
    }
  }
  const other = await open();
  await other.route(/editor\.js/, (route) => route.abort());
  await fill(other, ADMIN, "Sign in");
  await at(other, database, "sql");
  const plain = other.locator("textarea");
  await plain.fill("SELECT count(*) FROM many");
  await plain.press("Control+Enter");
  await other.getByRole("cell", { name: "251" }).waitFor();
});

const LARGE = 200_000;

test("one scroll through a large table: few rows in the page, the right ones everywhere, the focus is not lost", async () => {
  const { token } = await team();
  const database = await pushed("file", `CREATE TABLE large(id INTEGER PRIMARY KEY, name TEXT, note TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${LARGE})
      INSERT INTO large SELECT i * 3, 'name ' || i, CASE WHEN i % 7 THEN 'short' ELSE printf('%.200c', 'x') END FROM n;`, token);
  const page = await open();
  let asked = 0;
  page.on("request", (request) => (asked += request.url().endsWith("/QueryDatabase") ? 1 : 0));
  await fill(page, ADMIN, "Sign in");
  await at(page, database, "tables", "large");
  await page.getByText(/^rows 1 to/).waitFor();
  const rows = page.getByRole("region", { name: "Rows of large" });
  /** What stands in the page: the numbers that are told for readers are those of the rows, and no row is missing in sight. */
  const seen = () => rows.evaluate((box) => {
    const lines = [...box.querySelectorAll("tbody tr")].map((line) => ({
      index: Number(line.getAttribute("aria-rowindex")), id: Number(line.querySelector("td")!.textContent), y: line.getBoundingClientRect(),
    }));
    const { top, bottom } = box.getBoundingClientRect();
    const head = box.querySelector("thead")!.getBoundingClientRect().bottom;
    return {
      count: lines.length, first: lines.find(({ y }) => y.bottom > head)?.index ?? 0,
      isRight: lines.every(({ index, id }, at) => id === (index - 1) * 3 && index === lines[0]!.index + at),
      isFull: lines.length > 0 && head - top < 60 && lines[0]!.y.top <= head && lines.at(-1)!.y.bottom >= Math.min(bottom, top + box.clientHeight) - 1, top: box.scrollTop,
    };
  });
  const settled = async () => {
    await expect.poll(async () => { const { isRight, isFull } = await seen(); return isRight && isFull; }).toBe(true);
    const now = await seen();
    expect(now.count).toBeLessThan(80);
    return now;
  };
  await settled();
  // By the wheel, with the pointer on it: what is passed is read as it comes.
  await rows.hover();
  for (let turn = 0; turn < 12; turn += 1) {
    await page.mouse.wheel(0, 2500);
    await settled();
  }
  const far = await settled();
  expect(far.first).toBeGreaterThan(700);
  await shot(page, "large-table");
  await accessible(page, "large-table");
  // By keys, back: what was passed is found again, and what is let go is not kept.
  const before = asked;
  await rows.focus();
  await page.keyboard.press("PageUp");
  await expect.poll(async () => (await seen()).first).toBeLessThan(far.first - 5);
  await settled();
  await rows.evaluate((box) => (box.scrollTop = 400 * 28));
  await settled();
  expect(asked - before).toBeLessThan(12);
  const kept = page.waitForEvent("download");
  await page.getByRole("button", { name: "JSON", exact: true }).click();
  expect((JSON.parse(readFileSync((await (await kept).path())!, "utf8")) as { rows: unknown[] }).rows.length).toBeLessThanOrEqual(1000);
  // Where somebody stands in a row that leaves the page, the table has the focus.
  await rows.getByRole("button").first().focus();
  await rows.evaluate((box) => (box.scrollTop = 50 * 28));
  await settled();
  expect(await rows.evaluate((box) => box === document.activeElement)).toBe(true);
  await page.keyboard.press("Home");
  await expect.poll(async () => (await settled()).first).toBe(2);
  // The other end, and on from there backwards: nothing tells how many come before.
  await rows.focus();
  await page.keyboard.press("End");
  await page.getByRole("cell", { name: `name ${LARGE}`, exact: true }).waitFor();
  await rows.evaluate((box) => (box.scrollTop -= 5000));
  await page.getByRole("cell", { name: `name ${LARGE - 180}`, exact: true }).waitFor();
  expect(await rows.locator("tbody tr").first().getAttribute("aria-rowindex")).toBe(null);
  await page.getByText(/^17\d rows follow/).waitFor();
  // What was found by a filter stays one scroll.
  await page.getByLabel("Column").selectOption("id");
  await page.getByLabel("Test").selectOption("least");
  await page.getByLabel("Value").fill(String(300_000));
  await page.getByRole("button", { name: "Filter", exact: true }).click();
  await page.getByRole("cell", { name: "name 100000", exact: true }).waitFor();
  await rows.evaluate((box) => (box.scrollTop = 150 * 28));
  await page.getByRole("cell", { name: "name 100160", exact: true }).waitFor();
});

test("a statement reads within limits, a mistake is marked, and the audit trail has it", async () => {
  const { token } = await team();
  const database = await pushed("file", MANY, token);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await at(page, database, "sql");
  const area = page.getByLabel("One statement that reads");
  const run = async (sql: string) => {
    await type(page, sql);
    await area.press("Control+Enter");
  };
  await run("SELECT count(*) AS rows, max(id) AS last, sum(real) FROM many");
  await page.getByText("1 row in").waitFor();
  expect(await cells(page, 0)).toEqual(["251", "9007199254740993", "31375.0"]);
  await run("SELECT name,\n  nosuch FROM many");
  await page.getByText("no such column: nosuch (line 2, column 3)").waitFor();
  expect(await marked(page)).toBe("nosuch");
  await area.press("Home");
  await run("DELETE FROM many");
  await page.getByText("here statements only read").waitFor();
  await run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, i FROM n");
  await page.getByText("There are more rows than the hub answers at once.").waitFor();
  expect(await page.locator(".grid tbody tr").count()).toBe(1000);
  // Two at once are all that one may run: what was stopped counts no longer.
  for (let stopped = 0; stopped < 3; stopped += 1) {
    await run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n");
    await page.getByText("Running…").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Running…").waitFor({ state: "detached" });
  }
  for (const sql of ["SELECT 1", "SELECT 2", "SELECT 3"]) {
    await run(sql);
    await page.getByText("1 row in").waitFor();
  }
  await page.getByRole("button", { name: "Explain" }).click();
  await page.getByRole("cell", { name: "SCAN CONSTANT ROW" }).waitFor();
  await page.keyboard.press("Tab");
  await page.getByRole("link", { name: "Audit" }).click();
  await page.getByRole("cell", { name: "database.query" }).first().waitFor();
  const { events } = await call(hub, "ListAuditEvents", { action: "database.query" }, token);
  expect(events.map((one: { detailJson: string }) => JSON.parse(one.detailJson).sql)).toContain("DELETE FROM many");
});

test("a member reads and decides what the role lets, by a session that reads under /_/api/ alone", async () => {
  const { token, database, org } = await team();
  const ask = await writer(token, database);
  await ask("POST", "events?store=s", { clientId: "c1", sessionId: "s1", events: [{ name: "noteAdded", args: { text: HOSTILE, big: 1 } }, { name: "noteDone", args: {} }] });
  const invitation = await call(hub, "CreateInvitation", { org, email: VIEWER.email, role: "viewer" }, token);
  const { sessionToken } = await call(hub, "Signup", { ...VIEWER, inviteCode: invitation.code });
  const page = await open();
  await fill(page, VIEWER, "Sign in");
  await at(page, database, "log", "s");
  await page.getByRole("cell", { name: "noteDone" }).waitFor();
  expect(await page.locator("main tbody tr").first().locator("td").first().textContent()).toBe("2");
  // Where the cookie does not count, a session still reads nothing.
  const headers = { Authorization: `Bearer ${sessionToken}` };
  expect((await fetch(`${hub.url}/v1/databases/${database}/events?store=s`, { headers })).status).toBe(403);
  const status = (path: string, method = "GET") => page.evaluate(async ([path, method]) => {
    const headers = { "Content-Type": "application/json", "Ferry-Dashboard": "1" };
    return (await fetch(path!, { method: method!, headers, ...(method === "GET" ? {} : { body: "{}" }) })).status;
  }, [path, method]);
  expect(await status(`/_/api/v1/databases/${database}/events?store=s`)).toBe(200);
  expect(await status(`/_/api/v1/databases/${database}/events?store=s`, "POST")).toBe(403);
  expect(await status(`/_/api/v1/databases/${database}/events/stores`)).toBe(403);
  expect(await status(`/_/api/v1/databases/${database}/records/owners`)).toBe(403);
  expect(await status(`/_/api/v1/databases/${database}/rpc/anything`)).toBe(403);
  // Of an organisation that one is not in, nothing is seen.
  const other = await call(hub, "Signup", { email: "eve@example.com", password: "a third password" });
  const own = await call(hub, "CreateDatabase", { name: "own" }, other.sessionToken);
  expect(await status(`/_/api/v1/databases/${own.id}/events?store=s`)).toBe(404);
  expect((await call(hub, "QueryDatabase", { database, sql: "SELECT 1" }, other.sessionToken)).status).toBe(404);
  expect((await call(hub, "ListTables", { database }, other.sessionToken)).status).toBe(404);
  expect((await call(hub, "QueryDatabase", { database, sql: "SELECT 1" }, sessionToken)).status).toBe(200);
});

test("records show who wrote each field, and a list tells what every database holds", async () => {
  const { token, database } = await team();
  const ask = await writer(token, database);
  await ask("PUT", "records/app/notes/n1", { text: HOSTILE, stars: 3 });
  await ask("PATCH", "records/app/notes/n1", { stars: 4 });
  await ask("PUT", "records/app/notes/n2", { text: "two" });
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.getByRole("cell", { name: "records" }).waitFor();
  const { databases } = await call(hub, "ListDatabases", {}, token);
  const one = await call(hub, "GetDatabase", { database }, token);
  expect([databases[0].seq, databases[0].lanes]).toEqual([one.seq, one.lanes]);
  await at(page, database, "records");
  await page.getByRole("link", { name: "app / notes" }).click();
  await page.getByRole("cell", { name: HOSTILE }).waitFor();
  expect(await page.evaluate(() => (window as { hit?: number }).hit)).toBeUndefined();
  await page.getByRole("button", { name: "Open record n1" }).click();
  const record = page.getByRole("region", { name: "Fields of n1" });
  await record.getByRole("cell", { name: "stars" }).waitFor();
  expect(await record.getByRole("row").filter({ hasText: "stars" }).locator("td").nth(1).textContent()).toBe("4");
  await page.getByText(/History, \d+ entr/).click();
  // What is written meanwhile is seen by itself.
  await ask("PATCH", "records/app/notes/n1", { stars: 5 });
  await expect.poll(() => record.getByRole("row").filter({ hasText: "stars" }).locator("td").nth(1).textContent(), { timeout: 8000 }).toBe("5");
  const history = page.getByRole("region", { name: "History" });
  const newest = history.getByRole("row").filter({ hasText: "stars" }).first();
  await expect.poll(() => newest.locator("td").allTextContents().then((cells) => cells.slice(3)), LIVE).toEqual(["stars", "4", "5"]);
  // Who deleted one is told, and when.
  await ask("DELETE", "records/app/notes/n1", {});
  await page.getByRole("combobox", { name: "Deleted ones" }).selectOption("only");
  const gone = page.getByRole("region", { name: "Records of notes" }).getByRole("row").filter({ hasText: "n1" });
  await gone.getByText("ferry-http").waitFor();
  await record.getByRole("row").filter({ hasText: "deletedAt" }).getByText(/^\d{4}-/).waitFor();
  // SQL sees them by their view.
  await at(page, database, "tables", "records_app__notes");
  await page.locator(".grid").getByText("two").waitFor();
});

/** What is live is read again every few seconds. */
const LIVE = { timeout: 10_000 };

test("live rows come without moving what somebody looks at, and stand at the top where nobody does", async () => {
  const { token, database } = await team();
  const ask = await writer(token, database);
  const append = (from: number, count: number) => ask("POST", "events?store=s", {
    clientId: "c1", sessionId: "s1", events: Array.from({ length: count }, (_, at) => ({ name: "noteAdded", args: { at: from + at } })),
  });
  for (let from = 1; from <= 400; from += 100) await append(from, 100);
  const put = (id: string) => ask("PUT", `records/app/notes/${id}`, { text: `of ${id}` });
  for (let from = 0; from < 150; from += 1) await put(`m${String(from).padStart(3, "0")}`);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await at(page, database, "log", "s");
  const log = page.getByRole("region", { name: "Events of s" });
  const numbers = async () => (await log.locator("tbody tr td:first-child").allTextContents()).map(Number);
  const yOf = async (text: string) => (await log.getByRole("cell", { name: text, exact: true }).first().boundingBox())!.y;
  await log.getByRole("cell", { name: "400", exact: true }).waitFor();
  // Nobody is at it: the newest is at the top.
  await page.mouse.move(5, 5);
  await append(401, 1);
  await expect.poll(async () => (await numbers())[0], LIVE).toBe(401);
  // The pointer is on it: it stays there, and the newest is above.
  await log.getByRole("cell", { name: "395", exact: true }).hover();
  const [pointed, before] = [await yOf("395"), (await numbers())[0]];
  await append(402, 3);
  await page.getByText("up to event 404 of 404").waitFor();
  await expect.poll(numbers, LIVE).toContain(404);
  expect([before, Math.abs((await yOf("395")) - pointed) < 2]).toEqual([401, true]);
  // Also if more come than are read at once; those are above.
  for (let from = 405; from < 705; from += 100) await append(from, 100);
  await page.getByText("up to event 704 of 704").waitFor();
  await expect.poll(numbers, LIVE).toContain(405);
  expect(Math.abs((await yOf("395")) - pointed)).toBeLessThan(2);
  await expect.poll(async () => {
    await log.evaluate((box) => (box.scrollTop -= 3000));
    return (await numbers())[0];
  }, LIVE).toBe(704);
  // All the way down, where the first event is; it is one scroll.
  await expect.poll(async () => {
    await log.evaluate((box) => (box.scrollTop = box.scrollHeight));
    return (await numbers()).at(-1);
  }, LIVE).toBe(1);
  expect((await numbers()).length).toBeLessThan(80);
  const last = await yOf("1");
  await append(705, 2);
  await page.getByText("up to event 706 of 706").waitFor();
  expect(Math.abs((await yOf("1")) - last)).toBeLessThan(2);
  await page.getByRole("button", { name: "Newest" }).click();
  await expect.poll(async () => (await numbers())[0], LIVE).toBe(706);
  await page.mouse.move(5, 5);
  await page.locator("body").press("Escape");

  await at(page, database, "records", "-", "app", "notes");
  const records = page.getByRole("region", { name: "Records of notes" });
  // What was taken in last is at the top.
  await records.getByText("m149", { exact: true }).waitFor();
  await page.getByRole("combobox", { name: "Order" }).selectOption("id");
  await records.getByText("m000", { exact: true }).waitFor();
  await records.evaluate((box) => (box.scrollTop = 110 * 28));
  const row = records.getByText("m120", { exact: true });
  await row.waitFor();
  await row.hover();
  const stands = (await row.boundingBox())!.y;
  await put("m1195");
  await put("a");
  await records.getByText("m1195", { exact: true }).waitFor();
  await records.getByRole("cell", { name: "of m1195", exact: true }).waitFor();
  const moved = Math.abs((await row.boundingBox())!.y - stands);
  // At most by the row that has come between it and the first one in sight.
  expect(moved).toBeLessThan(30);
  await records.evaluate((box) => (box.scrollTop = 0));
  await expect.poll(async () => (await records.locator("tbody tr td:first-child").first().textContent()), LIVE).toBe("a");
});

test("records: what lost stands beside what won, and is taken", async () => {
  const { token, database } = await team();
  const ask = await writer(token, database);
  const push = (clientId: string, since: string, op: string, value: string, at: string) => ask("POST", "records/changes", {
    app: "app", since, changes: [{ collection: "notes", id: "n1", op, fields: { title: { value, at } } }],
  }, { "X-Client-Id": clientId });
  const { cursor } = await push("a", "", "insert", "first", "2026-01-01T10:00:00Z");
  await push("b", "", "update", "of b", "2026-01-01T10:00:05Z");
  await push("a", cursor, "update", "of a", "2026-01-01T10:00:04Z");
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await at(page, database, "records", "-", "app", "notes", "n1");
  const conflicts = page.getByRole("region", { name: "Open conflicts" });
  const lost = conflicts.getByRole("row").filter({ hasText: "of a" });
  expect(await lost.locator("td").nth(2).textContent()).toContain("of b");
  await shot(page, "records-conflict");
  await accessible(page, "records");
  await lost.getByRole("button", { name: "Take what lost" }).click();
  await lost.waitFor({ state: "detached" });
  await page.getByRole("region", { name: "Fields of n1" }).getByRole("cell", { name: "of a" }).waitFor();
});

test("values of a megabyte and more are told of, and the others shown", async () => {
  const { token } = await team();
  const database = await pushed("file", "CREATE TABLE t(id INTEGER PRIMARY KEY, x, y); INSERT INTO t VALUES (1, zeroblob(1500000), 'beside'), (2, 'short', 'b');", token);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await at(page, database, "tables", "t");
  await page.getByRole("cell", { name: "beside" }).waitFor();
  expect([await cells(page, 0), await cells(page, 1)]).toEqual([
    ["1", "(1500000 bytes, too long to be read here)", "beside"], ["2", "short", "b"],
  ]);
});

test("a hub that is slow, refuses or is gone says so, and the page goes on by a click", async () => {
  const { token } = await team();
  const database = await pushed("file", MANY, token);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  let answer: "slow" | "cut" | "refuse" | "right" = "slow";
  let release = () => {};
  await page.route("**/QueryDatabase", async (route) => {
    if (answer === "cut") return route.abort();
    if (answer === "refuse") return route.fulfill({ status: 503, headers: { "x-request-id": "r-1" }, json: { code: "unavailable", message: "the hub is busy" } });
    if (answer === "slow") await new Promise<void>((resolve) => (release = resolve));
    return route.continue();
  });
  await at(page, database, "tables", "many");
  await page.getByText("Reading…").waitFor();
  expect(await page.locator("[aria-busy=true]").count()).toBeGreaterThan(0);
  release();
  await page.getByText(/^rows 1 to/).waitFor();
  answer = "cut";
  const rows = page.getByRole("region", { name: "Rows of many" });
  await rows.evaluate((box) => (box.scrollTop = 100 * 28));
  await page.getByText("The hub does not answer").waitFor();
  answer = "refuse";
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("the hub is busy").waitFor();
  await page.getByText("r-1").waitFor();
  answer = "right";
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("cell", { name: "name 101" }).waitFor();
  expect(await page.getByRole("alert").count()).toBe(0);
});

test("a thousand databases are shown page by page, and found by how their names begin", async () => {
  const { token } = await team();
  for (let from = 0; from < 1000; from += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, at) => call(hub, "CreateDatabase", { name: `app-${from + at}` }, token)));
  }
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.getByText("200 are shown.").waitFor();
  await page.getByRole("button", { name: "More" }).click();
  await page.getByText("400 are shown.").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("app-99");
  await expect.poll(() => page.locator("tbody tr").count()).toBe(11);
  await page.getByLabel("Filter by name").fill("nothing-so");
  await page.getByText("No name begins with").waitFor();
});

test("ops: conflicts are shown side by side and decided by those who may write", async () => {
  const { token, database, org } = await team();
  const invitation = await call(hub, "CreateInvitation", { org, email: VIEWER.email, role: "viewer" }, token);
  await call(hub, "Signup", { ...VIEWER, inviteCode: invitation.code });
  const ask = await writer(token, database);
  const [a, b] = ["a000000000000001", "b000000000000001"] as const;
  const set = (id: string, at: number, origin: string, value: string) => ({
    v: 1, id, hlc: `${(1_700_000_000_000 + at).toString(16).padStart(12, "0")}-0000-${origin}`, origin, kind: "set",
    entity: "node/1", field: "title", value, base: [],
  });
  await ask("POST", "ops", { v: 1, origin: a, ops: [set("op-a-0001", 30, a, "Milk")] });
  await ask("POST", "ops", { v: 1, origin: b, ops: [set("op-b-0001", 20, b, HOSTILE)] });
  const reader = await open();
  await fill(reader, VIEWER, "Sign in");
  await at(reader, database, "ops");
  await reader.getByRole("cell", { name: HOSTILE }).waitFor();
  expect(await reader.getByRole("button", { name: "Take what lost" }).count()).toBe(0);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await at(page, database, "ops", "node/1");
  await page.getByRole("region", { name: "Fields of node/1" }).getByRole("cell", { name: "Milk" }).waitFor();
  await shot(page, "ops-conflict");
  await accessible(page, "ops");
  await page.getByRole("button", { name: "Take what lost" }).click();
  await page.getByRole("heading", { name: "Open conflicts" }).waitFor({ state: "detached" });
  await page.getByRole("region", { name: "Fields of node/1" }).getByRole("cell", { name: HOSTILE }).waitFor();
  expect(await page.evaluate(() => (window as { hit?: number }).hit)).toBeUndefined();
  // The token that did it is gone.
  expect((await call(hub, "ListTokens", { database }, token)).tokens.map((one: { label: string }) => one.label)).not.toContain("dashboard");
});

test("yesterday's database is taken back, opened beside, and taken home as a file", async () => {
  const { token } = await team();
  const database = await pushed("file", MANY, token);
  await pushed("file", "CREATE TABLE mistake(x);", token, database);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await at(page, database, "versions");
  const row = (version: string) => page.locator("tbody tr").filter({ has: page.getByRole("cell", { name: version, exact: true }) });
  await row("2").waitFor();
  await shot(page, "versions");
  await accessible(page, "versions");
  const saved = page.waitForEvent("download");
  await row("1").getByRole("link", { name: "Download" }).click();
  const file = await (await saved).path();
  expect(execFileSync("sqlite3", [file!, "SELECT count(*) FROM many"], { encoding: "utf8" })).toBe("251\n");
  await row("1").getByRole("button", { name: "Take back" }).click();
  await page.getByLabel("Type file").fill("file");
  await page.getByLabel("Your password").fill(ADMIN.password);
  await page.getByRole("button", { name: "Take it back" }).click();
  await row("3").waitFor();
  await page.getByRole("link", { name: "Tables", exact: true }).click();
  await page.getByRole("link", { name: "many", exact: true }).waitFor();
  await page.getByRole("link", { name: "Versions" }).click();
  await row("2").getByRole("button", { name: "As a new database" }).click();
  await page.getByLabel("Name").fill("beside");
  await page.getByRole("button", { name: "Make it" }).click();
  await page.getByRole("heading", { name: "Databases / beside" }).waitFor();
  await page.getByRole("link", { name: "Tables", exact: true }).click();
  await page.getByRole("link", { name: "mistake", exact: true }).waitFor();
});

test("functions: what is deployed, and what it wrote to its log", async () => {
  const { token, database } = await team();
  const folder = mkdtempSync(join(tmpdir(), "ferry-dashboard-project-"));
  try {
    const ferry = (...args: string[]) => execFileSync(binary, args, {
      env: { PATH: process.env.PATH, HOME: folder, FERRY_TOKEN: token, FERRY_SERVER: hub.url }, cwd: folder, stdio: "pipe",
    });
    ferry("init", ".", "--yes", "--template", "plain", "--auth", "none", "--name", "shop", "--no-install");
    const source = `import { query } from "@ferry/server";
export const told = query(async (_, { text }: { text: string }) => { console.warn("told", text); return 1; });\n`;
    readdirSync(join(folder, "ferry/functions")).forEach((name) => rmSync(join(folder, "ferry/functions", name)));
    writeFileSync(join(folder, "ferry/functions/index.ts"), source);
    ferry("deploy", "--database", database, "--no-check");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await at(page, database, "functions");
  await page.getByRole("region", { name: "Functions" }).getByRole("cell", { name: "told" }).waitFor();
  await page.getByText("No function has written to the console").waitFor();
  const ask = await writer(token, database);
  await ask("POST", "functions/run", { fn: "told", args: { text: HOSTILE } });
  await page.getByRole("region", { name: "Log" }).getByRole("cell", { name: `told ${HOSTILE}` }).waitFor();
  expect(await page.evaluate(() => (window as { hit?: number }).hit)).toBeUndefined();
  await shot(page, "functions");
  await accessible(page, "functions");
});

test("the operator sees backups and numbers with the token, which is stored nowhere", async () => {
  await team();
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.keyboard.press("g");
  await page.keyboard.press("h");
  await page.getByLabel("Operator token").fill("fy_op_wrong");
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByLabel("Operator token").fill(readFileSync(join(hub.data, "operator.token"), "utf8").trim());
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByRole("img", { name: /^Memory: [\d.]+ .iB now/ }).waitFor();
  expect(await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length])).toEqual(["", 0, 0]);
  await accessible(page, "hub");
  await page.reload();
  await page.getByLabel("Operator token").waitFor();
});

for (const [width, height] of [[390, 844], [1280, 800]] as const) {
  for (const colorScheme of ["light", "dark"] as const) {
    test(`data at ${width}×${height}, ${colorScheme}: nothing but tables is wider, and axe finds nothing serious`, async () => {
      const { token, database } = await team();
      const file = await pushed("file", MANY, token);
      const ask = await writer(token, database);
      await ask("POST", "events?store=s", { clientId: "c1", sessionId: "s1", events: [{ name: "noteAdded", args: { text: "hello ".repeat(40) } }] });
      await ask("PUT", "records/app/notes/n1", { text: HOSTILE, stars: 3 });
      const page = await open({ viewport: { width, height }, colorScheme });
      await fill(page, ADMIN, "Sign in");
      for (const [id, parts, name, shown] of [
        [file, ["tables", "many"], "table", "rows 1 to"], [file, ["sql"], "sql", "Nothing can be written here"],
        [database, ["tables"], "tables-of-hub", "own"],
        [database, ["records", "-", "app", "notes", "n1"], "records", "History, |No records are yours"], [database, ["log", "s"], "log", "noteAdded"],
        [database, ["ops"], "ops", "Entities"], [database, ["clients"], "clients", "Nobody is connected"], [database, ["functions"], "functions", "Nothing is deployed"],
      ] as const) {
        await at(page, id, ...parts);
        await page.locator("main").getByText(new RegExp(shown)).first().waitFor();
        if (name === "sql") {
          await page.getByRole("button", { name: "Run" }).click();
          await page.getByText(/rows in/).waitFor();
        }
        await shot(page, `${name}-${width}-${colorScheme}`);
        await accessible(page, name);
      }
      await page.goto(`${hub.url}/_/hub`);
      await page.getByLabel("Operator token").fill(readFileSync(join(hub.data, "operator.token"), "utf8").trim());
      await page.getByRole("button", { name: "Open" }).click();
      for (const [link, name, shown] of [
        ["Numbers", "hub", "Running since"], ["Backups", "backups", "This hub keeps no backups"], ["Users", "users", "locked out|active"], ["Settings", "settings", "query_seconds"],
      ] as const) {
        await page.getByRole("link", { name: link, exact: true }).click();
        await page.locator("main").getByText(new RegExp(shown)).first().waitFor();
        await shot(page, `${name}-${width}-${colorScheme}`);
        await accessible(page, name);
      }
    });
  }
}
