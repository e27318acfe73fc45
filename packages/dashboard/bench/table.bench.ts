// A page of a table of ten million rows (ROWS), at the hub: at most 20 ms wherever it is (operate specification, section 7).
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { test } from "vitest";
import { call } from "../test/hub.ts";
import { ADMIN, binary, fill, hub, open, useBrowser } from "./browser.ts";
import { report, setting, spread } from "./report.ts";

useBrowser("--rate-limit-scale", "0");
const ROWS = setting("ROWS", 10_000_000);
const TIMES = setting("TIMES", 50);

test("a page of a large table", async () => {
  const { sessionToken: token } = await call(hub, "Signup", ADMIN);
  const { id: database } = await call(hub, "CreateDatabase", { name: "large", kind: "replica" }, token);
  const folder = mkdtempSync(join(tmpdir(), "ferry-bench-"));
  try {
    const made = `CREATE TABLE large(id INTEGER PRIMARY KEY, name TEXT, at INT, amount REAL);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS}) INSERT INTO large SELECT i, 'name ' || i, 1700000000 + i, i / 3.0 FROM n;`;
    execFileSync("sqlite3", [join(folder, "large.db")], { input: `PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; ${made}` });
    execFileSync(binary, ["push", join(folder, "large.db"), database, "--force", "--server", hub.url], {
      env: { PATH: process.env.PATH, HOME: folder, FERRY_TOKEN: token }, stdio: "pipe",
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const columns = `"id", "name", "at", "amount", "rowid"`;
  // As the page asks: the first, behind a key, before one, the last.
  const asks: Record<string, (at: number) => { sql: string; params: number[] }> = {
    first: () => ({ sql: `SELECT ${columns} FROM "large" ORDER BY "rowid" LIMIT 101`, params: [] }),
    next: (at) => ({ sql: `SELECT ${columns} FROM "large" WHERE ("rowid") > (?1) ORDER BY "rowid" LIMIT 101`, params: [at] }),
    previous: (at) => ({ sql: `SELECT ${columns} FROM "large" WHERE ("rowid") < (?1) ORDER BY "rowid" DESC LIMIT 101`, params: [at] }),
    last: () => ({ sql: `SELECT ${columns} FROM "large" ORDER BY "rowid" DESC LIMIT 101`, params: [] }),
  };
  const found: Record<string, unknown> = { rows: ROWS };
  for (const [name, ask] of Object.entries(asks)) {
    const [atHub, all]: [number[], number[]] = [[], []];
    for (let time = 0; time < TIMES; time += 1) {
      const { sql, params } = ask(1 + Math.floor((ROWS * (time + 0.5)) / TIMES));
      const begun = performance.now();
      const answer = await call(hub, "QueryDatabase", { database, sql, paramsJson: JSON.stringify(params) }, token);
      all.push(performance.now() - begun);
      atHub.push(Number(answer.micros) / 1000);
      if (JSON.parse(answer.rowsJson).length < 1) throw new Error(`${name}: no rows`);
    }
    found[`${name} page, ms of the statement`] = spread(atHub, 2);
    found[`${name} page, ms of the request`] = spread(all, 2);
  }
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  const begun = performance.now();
  await page.goto(`${hub.url}/_/databases/${database}/tables/large`);
  await page.getByText(/^rows 1 to/).waitFor();
  found["page in the browser, ms"] = Math.round(performance.now() - begun);
  report("table", found);
});
