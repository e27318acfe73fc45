// Verifies: OPR-51, OPR-55, OPR-56, OPR-59
// Users who operate the hub, and what was: older versions, backups, identities of stores.

import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { binary, call } from "./hub.ts";
import { accessible, ADMIN, fill, hub, open, shot, team, type, useBrowser, VIEWER, writer } from "./page.ts";

useBrowser("--rate-limit-scale", "0", "--backup-target", "file://{data}-backups", "--backup-every", "0");

const operatorToken = () => readFileSync(join(hub.data, "operator.token"), "utf8").trim();
const SIZES = [[390, 844], [768, 1024], [1280, 800], [1920, 1080]] as const;

/** A picture of what is shown now at each size in both themes, and what axe says. */
async function pictures(page: Page, name: string): Promise<void> {
  for (const [width, height] of SIZES) {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await shot(page, `${name}-${width}-${colorScheme}`);
      await accessible(page, name);
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 });
}

/** Makes every sign-in an old one. */
const age = () => execFileSync("sqlite3", [join(hub.data, "control.db"), ".timeout 5000", "UPDATE sessions SET created = created - 301000"]);

async function pushed(sql: string, session: string, over = ""): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "ferry-dashboard-file-"));
  try {
    execFileSync("sqlite3", [join(folder, "file.db")], { input: sql });
    const id = over || ((await call(hub, "CreateDatabase", { name: "file", kind: "replica" }, session)).id as string);
    execFileSync(binary, ["push", join(folder, "file.db"), id, "--force", "--server", hub.url], {
      env: { PATH: process.env.PATH, HOME: folder, FERRY_TOKEN: session }, stdio: "pipe",
    });
    return id;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("the link of a new hub makes its operator, who makes others, and a page closes within a second when the flag goes", async () => {
  const link = /http\S+\/_\/#operator=\S+/.exec(hub.log())![0];
  const page = await open();
  // Also where the page is open already.
  await page.goto(link);
  await page.getByText("It operates the hub").waitFor();
  expect(page.url()).toBe(`${hub.url}/_/`);
  await pictures(page, "first-operator");
  await fill(page, ADMIN, "Make account");
  await page.getByRole("link", { name: "Hub", exact: true }).click();
  await page.getByText("Running since").waitFor();
  await page.getByRole("link", { name: "Users", exact: true }).click();
  await page.getByRole("button", { name: "New account" }).click();
  await page.getByLabel("E-mail").fill(VIEWER.email);
  await page.getByLabel("Password").fill(VIEWER.password);
  await page.getByRole("button", { name: "Make it" }).click();
  const row = page.getByRole("region", { name: "Users" }).getByRole("row").filter({ hasText: VIEWER.email });
  await row.getByText("active").waitFor();

  const other = await open();
  await fill(other, VIEWER, "Sign in");
  await other.goto(`${hub.url}/_/hub/users`);
  await other.getByLabel("Operator token").waitFor();
  await row.getByRole("button", { name: "Make operator" }).click();
  const change = page.getByRole("button", { name: "Change it" });
  expect(await change.isDisabled()).toBe(true);
  await page.getByLabel(`Type ${VIEWER.email}`).fill(VIEWER.email);
  await page.getByLabel("Your password").fill("a wrong one");
  await pictures(page, "make-operator");
  await change.click();
  await page.getByText("invalid credentials").waitFor();
  await page.getByLabel("Your password").fill(ADMIN.password);
  await change.click();
  await row.getByText("operator", { exact: true }).waitFor();
  await other.getByRole("region", { name: "Users" }).getByText(ADMIN.email).waitFor();

  // Demoted: what is open closes, whatever is asked meanwhile is refused.
  const me = await call(hub, "ListUsers", { emailContains: VIEWER.email }, operatorToken());
  await call(hub, "SetUserOperator", { userId: me.users[0].userId, operator: false }, operatorToken());
  await other.getByLabel("Operator token").waitFor({ timeout: 1000 });
  expect(await other.getByText(ADMIN.email).count()).toBe(0);
  const status = await other.evaluate(async () => (await fetch("/_/api/ferry.admin.v1.AdminService/ListUsers", {
    method: "POST", headers: { "Content-Type": "application/json", "Ferry-Dashboard": "1" }, body: "{}",
  })).status);
  expect(status).toBe(403);
});

test("an operator has the hub checked, and retires a key by its name and the password", async () => {
  await team();
  await call(hub, "SetUserOperator", { userId: ADMIN.email, operator: true }, operatorToken());
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.goto(`${hub.url}/_/hub/doctor`);
  await page.getByRole("region", { name: "Checks" }).getByRole("cell", { name: "lineage" }).waitFor();
  await page.getByRole("status").getByText(/Nothing is wrong|somebody to look at/).waitFor();
  await pictures(page, "checks");

  await page.getByRole("link", { name: "Users", exact: true }).click();
  const keys = page.getByRole("region", { name: "Signing keys" });
  const old = (await keys.getByRole("row").filter({ hasText: "active" }).locator("td").first().textContent())!;
  await page.getByRole("button", { name: "Rotate" }).click();
  await page.getByRole("button", { name: "Rotate" }).click();
  const row = keys.getByRole("row").filter({ hasText: old });
  await row.getByText("verifying").waitFor();
  // A code that opens an account is made for nobody whose sign-in is old.
  age();
  const code = { name: "IssuePasswordReset", email: ADMIN.email };
  const refused = await page.evaluate(async ({ name, email }) => (await fetch(`/_/api/ferry.admin.v1.AdminService/${name}`, {
    method: "POST", headers: { "Content-Type": "application/json", "Ferry-Dashboard": "1" }, body: JSON.stringify({ email }),
  })).text(), code);
  expect(refused).toContain("SIGN_IN_AGAIN");
  await page.getByRole("region", { name: "Users" }).getByRole("button", { name: "Reset code" }).click();
  await page.getByLabel(`Type ${ADMIN.email}`).fill(ADMIN.email);
  await page.getByLabel("Your password").fill(ADMIN.password);
  await page.getByRole("button", { name: "Make it" }).click();
  await page.getByTestId("secret").waitFor();
  age();
  await row.getByRole("button", { name: "Retire…" }).click();
  await page.getByLabel(`Type ${old}`).fill(old);
  await page.getByLabel("Your password").fill(ADMIN.password);
  await page.getByRole("button", { name: "Retire it" }).click();
  await row.waitFor({ state: "detached" });
  // Who signed in again is still there.
  expect((await call(hub, "ListSigningKeys", {}, operatorToken())).keys).toHaveLength(1);
  await page.getByRole("link", { name: "Databases", exact: true }).click();
  await page.getByRole("link", { name: "notes" }).waitFor();
});

test("a table and a statement are looked at as they were, by version, time and slider", async () => {
  const { token } = await team();
  const database = await pushed("CREATE TABLE stock(id INTEGER PRIMARY KEY, name); INSERT INTO stock VALUES (1, 'lost'), (2, 'kept');", token);
  await pushed("CREATE TABLE stock(id INTEGER PRIMARY KEY, name); INSERT INTO stock VALUES (2, 'kept'); CREATE TABLE late(x);", token, database);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.goto(`${hub.url}/_/databases/${database}/tables/stock`);
  await page.getByText("1 rows").waitFor();
  await page.getByRole("button", { name: "As it was…" }).click();
  await page.getByLabel("Version or time").fill("1");
  await page.getByRole("button", { name: "Look" }).click();
  await page.getByText("2 rows of version 1").waitFor();
  await page.getByRole("cell", { name: "lost" }).waitFor();
  await page.getByRole("link", { name: "late" }).waitFor({ state: "detached" });
  await pictures(page, "as-of-table");
  // The slider by keys alone.
  await page.getByLabel("Version", { exact: true }).focus();
  await page.keyboard.press("End");
  await page.getByText("1 rows of version 2").waitFor();
  await page.keyboard.press("ArrowLeft");
  await page.getByText("2 rows of version 1").waitFor();
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "All as CSV" }).click();
  expect(readFileSync((await (await saved).path())!, "utf8")).toBe("id,name\r\n1,lost\r\n2,kept\r\n");

  // What was chosen holds for the other page too.
  await page.getByRole("link", { name: "SQL", exact: true }).click();
  await type(page, "SELECT name FROM stock WHERE id = 1");
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByText("1 row of version 1").waitFor();
  await pictures(page, "as-of-sql");
  await page.getByLabel("Version or time").fill("77");
  await page.getByRole("button", { name: "Look" }).click();
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByText("version 77 was never made").waitFor();
  await page.getByRole("button", { name: "As it is now" }).click();
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByText("Nothing was found").waitFor();
});

test("from an event of the log to the tables of then", async () => {
  const { token, database } = await team();
  const ask = await writer(token, database);
  const append = (text: string) => ask("POST", "events?store=s", { clientId: "c1", sessionId: "s1", events: [{ name: "noteAdded", args: { text } }] });
  await append("one");
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.goto(`${hub.url}/_/databases/${database}/tables`);
  await page.getByRole("button", { name: "As it was…" }).click();
  await page.getByText("The hub keeps no older version yet").waitFor();
  await append("two");
  // Commits that follow each other closely share a version: this one has its own before the next.
  const commit = (await ask("GET", "events?store=s&after=1")).events[0].seq;
  await expect.poll(async () => (await ask("GET", "pages/versions")).versions[0].version).toBe(commit);
  await append("three");
  await page.goto(`${hub.url}/_/databases/${database}/log/s`);
  await page.getByText("up to event 3 of 3").waitFor();
  await page.getByRole("button", { name: "Append…" }).click();
  await page.getByLabel("Name", { exact: true }).fill("noteAdded");
  await page.getByLabel("Payload").fill(`{"text":"by hand","big":9007199254740993`);
  expect(await page.getByRole("button", { name: "Append it" }).isDisabled()).toBe(true);
  await page.getByLabel("Payload").fill(`{"text":"by hand","big":9007199254740993}`);
  await pictures(page, "append");
  await page.getByRole("button", { name: "Append it" }).click();
  await page.getByText("up to event 4 of 4").waitFor();
  await page.getByText(`{"text":"by hand","big":9007199254740993}`).waitFor();
  await page.getByLabel("Up to event").focus();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  await page.getByText("up to event 2 of 4").waitFor();
  await page.getByRole("link", { name: "Tables as of event 2" }).click();
  await page.getByRole("link", { name: "events", exact: true }).click();
  await page.getByText("2 rows of version").waitFor();
  await page.getByRole("button", { name: "As it is now" }).click();
  await page.getByText("4 rows").waitFor();
});

test("an admin forks, opens a backup beside what lives, and gives a store a new identity", async () => {
  const { token, database } = await team();
  const ask = await writer(token, database);
  await ask("POST", "events?store=s", { clientId: "c1", sessionId: "s1", events: [{ name: "noteAdded", args: { text: "x" } }] });
  const job = await call(hub, "CreateBackup", {}, operatorToken());
  await expect.poll(async () => (await call(hub, "GetJob", { id: job.id }, operatorToken())).state).toBe("done");
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.goto(`${hub.url}/_/databases/${database}/versions`);
  await page.getByRole("button", { name: "Open beside it…" }).first().click();
  await page.getByLabel("Name of the new database").fill("yesterday");
  await pictures(page, "own-backup");
  age();
  await page.getByLabel("Your password").fill(ADMIN.password);
  await page.getByRole("button", { name: "Put it back" }).click();
  await page.getByRole("status").getByRole("link", { name: "yesterday" }).click();
  await page.getByRole("heading", { name: "Databases / yesterday" }).waitFor();

  await page.goto(`${hub.url}/_/databases/${database}`);
  await page.getByRole("button", { name: "Fork" }).click();
  await page.getByLabel("Name of the new database").fill("beside");
  await page.getByRole("button", { name: "Make it" }).click();
  await page.getByRole("heading", { name: "Databases / beside" }).waitFor();

  const identity = async () => (await ask("GET", "events/stores")).stores[0].backendId as string;
  const before = await identity();
  await page.goto(`${hub.url}/_/databases/${database}/events`);
  await page.getByRole("button", { name: "New identity…" }).click();
  await page.getByLabel("Why").fill("the disk was put back");
  await page.getByLabel("Type s", { exact: true }).fill("s");
  await page.getByLabel("Your password").fill(ADMIN.password);
  await pictures(page, "remint");
  await page.getByRole("button", { name: "Give it a new identity" }).click();
  await expect.poll(identity).not.toBe(before);
  await page.getByRole("dialog").waitFor({ state: "detached" });
});

test("backups are paused by a click, say so, and go on by another", async () => {
  await team();
  await call(hub, "SetUserOperator", { userId: ADMIN.email, operator: true }, operatorToken());
  const states = async () => ((await call(hub, "GetBackupStatus", {}, operatorToken())).targets as { state: string }[]).map(({ state }) => state);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.goto(`${hub.url}/_/hub/backups`);
  const target = page.getByRole("region", { name: "Targets" }).locator("tbody tr").first();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("button", { name: "Keep" }).click();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("button", { name: "Pause" }).click();
  await target.getByRole("cell", { name: "paused" }).waitFor();
  expect(await states()).toEqual(["paused"]);
  await page.getByText("Paused: nothing is taken").waitFor();
  await pictures(page, "backups-paused");
  // Also after a start; and what is asked for is done.
  await hub.kill();
  await hub.start();
  expect(await states()).toEqual(["paused"]);
  await page.getByRole("button", { name: "Back up now" }).click();
  await page.getByRole("status").getByText("done").waitFor();
  // The hub wants a fresh sign-in for it, and the page asks for the password.
  age();
  await page.getByRole("button", { name: "Resume…" }).click();
  const panel = page.getByRole("dialog", { name: "Resume backups" });
  await panel.getByLabel("Your password").fill("a wrong one");
  await panel.getByRole("button", { name: "Resume" }).click();
  await panel.getByText("invalid credentials").waitFor();
  await pictures(page, "backups-resume");
  await panel.getByLabel("Your password").fill(ADMIN.password);
  await panel.getByRole("button", { name: "Resume" }).click();
  await panel.waitFor({ state: "detached" });
  await page.getByText("Paused: nothing is taken").waitFor({ state: "detached" });
  expect(await states()).not.toContain("paused");
});

test("a target that another hub has taken is taken over by the password, however long ago one signed in", async () => {
  await team();
  await call(hub, "SetUserOperator", { userId: ADMIN.email, operator: true }, operatorToken());
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  // As tests/backup/anchors.rs has the hub answer it where another one ships to its target.
  await page.route("**/GetBackupStatus", async (route) => {
    const answer = (await (await route.fetch()).json()) as { targets: object[] };
    await route.fulfill({ json: { targets: answer.targets.map((one) => ({ ...one, state: "taken" })) } });
  });
  await page.goto(`${hub.url}/_/hub/backups`);
  age();
  await page.getByRole("button", { name: "This one: take over…" }).click();
  const panel = page.getByRole("dialog", { name: "Take over from the other hub" });
  await panel.getByLabel("Your password").fill(ADMIN.password);
  await pictures(page, "backups-take-over");
  const asked = page.waitForResponse("**/ResumeBackups");
  await panel.getByRole("button", { name: "Take over" }).click();
  const answer = await asked;
  expect([answer.status(), answer.request().postDataJSON()]).toEqual([200, { takeOver: true }]);
  await panel.waitFor({ state: "detached" });
});

test("devices that hold what a store has lost are told as suspects", async () => {
  const { token, database } = await team();
  const ask = await writer(token, database);
  await ask("POST", "events?store=s", { clientId: "c1", sessionId: "s1", events: [{ name: "noteAdded", args: {} }] });
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  // As tests/events/clients_ahead.rs has the hub answer it; a device that is ahead speaks LiveStore's own protocol.
  const device = { device: "phone at 192.0.2.7", at: 10, aheadBy: 9, call: "pull", since: new Date().toISOString() };
  await page.route("**/events/stores", async (route) => {
    const answer = (await (await route.fetch()).json()) as { stores: object[] };
    expect(answer.stores[0]).toHaveProperty("suspect", null);
    await route.fulfill({ json: { stores: answer.stores.map((one) => ({ ...one, suspect: { at: 10, aheadBy: 9, devices: [device] } })) } });
  });
  await page.goto(`${hub.url}/_/databases/${database}/events`);
  const row = page.getByRole("region", { name: "Suspects" }).locator("tbody tr").first();
  await row.waitFor();
  expect((await row.locator("td").allTextContents()).slice(0, 5)).toEqual(["phone at 192.0.2.7", "s", "10", "9", "pull"]);
  await shot(page, "suspects");
  await accessible(page, "suspects");
});

test("a store whose file was put back is on hold, and goes on by a click; lineage tells what was lost", async () => {
  const { token, database } = await team();
  const ask = await writer(token, database);
  const append = () => ask("POST", "events?store=s", { clientId: "c1", sessionId: "s1", events: [{ name: "noteAdded", args: {} }] });
  await append();
  await hub.kill();
  const folder = join(hub.data, "databases", database);
  const copy = mkdtempSync(join(tmpdir(), "ferry-dashboard-copy-"));
  try {
    cpSync(folder, copy, { recursive: true });
    await hub.start();
    for (let more = 0; more < 3; more += 1) await append();
    // What the hub knows of it elsewhere.
    const known = () => execFileSync("sqlite3", [join(hub.data, "control.db"), ".timeout 5000", "SELECT max(head) FROM watermarks WHERE model = 'events'"], { encoding: "utf8" }).trim();
    await expect.poll(known, { timeout: 30_000 }).toBe("4");
    await hub.kill();
    rmSync(folder, { recursive: true });
    cpSync(copy, folder, { recursive: true });
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
  await hub.start();
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.goto(`${hub.url}/_/databases/${database}/events`);
  const row = page.getByRole("region", { name: "Stores" }).getByRole("row").filter({ hasText: "hold" });
  await row.waitFor();
  await shot(page, "store-hold");
  await row.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("button", { name: "Let it go on" }).click();
  await page.getByRole("region", { name: "Stores" }).getByRole("cell", { name: "ok", exact: true }).waitFor();
  await append();

  await call(hub, "SetUserOperator", { userId: ADMIN.email, operator: true }, operatorToken());
  await page.goto(`${hub.url}/_/hub/lineage`);
  await page.getByText("Since this start clients are told that data was put back").waitFor();
  await page.getByText("it goes on from where it was").waitFor();
  const steps = page.getByRole("region", { name: "Breaks and moves" });
  const cells = await steps.locator("tbody tr").first().locator("td").allTextContents();
  expect(cells.slice(1, 3)).toEqual(["break", "notes"]);
  expect(cells[3]).toContain("lacks commits that were acknowledged");
  expect(cells[4]).toMatch(/^commits from \d+ to \d+$/);
  await pictures(page, "lineage");
  await steps.getByRole("link", { name: "notes" }).click();
  await page.getByRole("heading", { name: "Databases / notes" }).waitFor();
}, 120_000);

test("lineage is asked for once each time, and tells what may be lost as far as it is known", async () => {
  await team();
  await call(hub, "SetUserOperator", { userId: ADMIN.email, operator: true }, operatorToken());
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  let [asked, steps] = [0, [] as object[]];
  // As GetLineage answers after a first start.
  await page.route("**/GetLineage", async (route) => {
    asked += 1;
    await route.fulfill({ json: { hubId: "h_1", run: `run ${asked}`, beganUnixMs: "1790000000000", verdict: "first", steps } });
  });
  await page.clock.install();
  await page.goto(`${hub.url}/_/hub/lineage`);
  for (const times of [1, 2, 3]) {
    await page.getByText(`run ${times}`, { exact: true }).waitFor();
    await page.getByText("None: all that clients have ever seen").waitFor();
    expect(asked).toBe(times);
    await page.clock.runFor(15_000);
  }
  await page.getByText("run 4", { exact: true }).waitFor();
  expect(asked).toBe(4);

  // A break says how far the database was known to be, and its file was, if that is known.
  const known: [object, string][] = [
    [{ knownSeq: "9", leftSeq: "7" }, "commits from 8 to 9"],
    [{ knownSeq: "9" }, "commits to 9"],
    [{ leftSeq: "7" }, "which commits is not known"],
    [{ knownSeq: "5", leftSeq: "7" }, "which commits is not known"],
    [{ knownSeq: "7", leftSeq: "7" }, "which commits is not known"],
    [{}, "which commits is not known"],
  ];
  steps = known.map(([seqs], at) => ({ kind: "break", atUnixMs: "1790000000000", scope: "d_1", reason: "it is older", number: `${at + 1}`, ...seqs }));
  await page.clock.runFor(15_000);
  const lost = page.getByRole("region", { name: "Breaks and moves" }).locator("tbody td:nth-child(5)");
  await lost.first().waitFor();
  expect(await lost.allTextContents()).toEqual(known.map(([, words]) => words));
});
