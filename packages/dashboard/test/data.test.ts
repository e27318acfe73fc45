// Verifies: OPR-52, OPR-56, OPR-57, OPR-59
// What stands in a database, looked at in the page of the real binary in a real browser.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { binary, call } from "./hub.ts";
import { accessible, ADMIN, fill, HOSTILE, hub, open, shot, team, useBrowser, VIEWER, writer } from "./page.ts";

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

const cells = (page: Page, row: number) => page.locator(".grid tbody tr").nth(row).locator("td").allTextContents();

test("a table is paged by its key, values are exact, and what is long opens", async () => {
  const { token } = await team();
  const database = await pushed("file", MANY, token);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.getByRole("link", { name: "file" }).click();
  await page.getByRole("link", { name: "Tables", exact: true }).click();
  await page.getByRole("link", { name: "many", exact: true }).click();
  await page.getByText("100 rows").waitFor();
  expect(await cells(page, 0)).toEqual(["1", "name 1", "9007199254740993", "1.0", "blob 2 B 00ff", `${"x".repeat(80)}…`]);
  expect((await cells(page, 1)).slice(4)).toEqual(["NULL", "NULL"]);
  // What was cut is read whole.
  await page.getByTitle("Show all of long").first().click();
  await expect.poll(() => page.locator("dialog pre").textContent()).toBe("x".repeat(9000));
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByRole("cell", { name: "name 101" }).waitFor();
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByText("51 rows").waitFor();
  expect(await page.getByRole("button", { name: "Next" }).isDisabled()).toBe(true);
  // The last row's key is one that JavaScript's numbers do not hold; its text is text.
  const last = await cells(page, 50);
  expect(last.slice(0, 2)).toEqual(["9007199254740993", HOSTILE]);
  expect(await page.evaluate(() => (window as { hit?: number }).hit)).toBeUndefined();
  await page.getByRole("button", { name: "First" }).click();
  await page.getByRole("cell", { name: "name 1", exact: true }).waitFor();
  await page.getByRole("button", { name: "Last" }).click();
  await page.getByRole("cell", { name: HOSTILE }).waitFor();
  expect((await cells(page, 99))[0]).toBe("9007199254740993");
  await page.getByRole("button", { name: "Previous" }).click();
  await page.getByRole("cell", { name: "name 150", exact: true }).waitFor();

  await page.getByLabel("Column").selectOption("big");
  await page.getByLabel("Test").selectOption("equals");
  await page.getByLabel("Value").fill("9007199254740995");
  await page.getByRole("button", { name: "Filter", exact: true }).click();
  await page.getByText("1 rows").waitFor();
  expect((await cells(page, 0)).slice(0, 3)).toEqual(["3", "name 3", "9007199254740995"]);
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "CSV" }).click();
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

test("a statement reads within limits, a mistake is marked, and the audit trail has it", async () => {
  const { token } = await team();
  const database = await pushed("file", MANY, token);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await at(page, database, "sql");
  const area = page.getByLabel("One statement that reads");
  const run = async (sql: string) => {
    await area.fill(sql);
    await area.press("Control+Enter");
  };
  await run("SELECT count(*) AS rows, max(id) AS last, sum(real) FROM many");
  await page.getByText("1 row in").waitFor();
  expect(await cells(page, 0)).toEqual(["251", "9007199254740993", "31375.0"]);
  await run("SELECT name,\n  nosuch FROM many");
  await page.getByText("no such column: nosuch (line 2, column 3)").waitFor();
  expect(await area.evaluate((area: HTMLTextAreaElement) => area.value.slice(area.selectionStart, area.selectionEnd))).toBe("nosuch");
  await area.evaluate((area: HTMLTextAreaElement) => area.setSelectionRange(0, 0));
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
  // SQL sees them by their view.
  await at(page, database, "tables", "records_app__notes");
  await page.locator(".grid").getByText("two").waitFor();
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
  await page.getByText("100 rows").waitFor();
  answer = "cut";
  await page.getByRole("button", { name: "Next" }).click();
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
        [file, ["tables", "many"], "table", "100 rows"], [file, ["sql"], "sql", "Nothing can be written here"],
        [database, ["tables"], "tables-of-hub", "own"],
        [database, ["records", "-", "app", "notes", "n1"], "records", "Taken in|No records are yours"], [database, ["log", "s"], "log", "noteAdded"],
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
