// Verifies: OPR-51, OPR-55, OPR-56, OPR-58
// Who is connected, what the hub was told and does, and what must not be done by a session that is old.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { call } from "./hub.ts";
import { accessible, ADMIN, fill, HOSTILE, hub, open, shot, team, useBrowser, VIEWER, writer } from "./page.ts";

useBrowser("--backup-target", "file://{data}-backups", "--query-seconds", "7");

/** A program that follows events; what it hears, and whether it still does. */
async function follower(token: string, store: string, name: string): Promise<{ heard: () => string; ended: () => boolean; stop: () => void }> {
  const stop = new AbortController();
  const headers = { Authorization: `Bearer ${token}`, Accept: "text/event-stream", "User-Agent": name };
  const answer = await fetch(`${hub.url}/v1/databases/-/events?store=${store}`, { headers, signal: stop.signal });
  expect(answer.status).toBe(200);
  let [heard, ended] = ["", false];
  void (async () => {
    for await (const piece of answer.body!.pipeThrough(new TextDecoderStream())) heard += piece;
  })().catch(() => undefined).finally(() => (ended = true));
  await expect.poll(() => heard).toContain("event: ready");
  return { heard: () => heard, ended: () => ended, stop: () => stop.abort() };
}

const rows = (page: Page) => page.getByRole("region", { name: "Connections" }).locator("tbody tr");

/** What the page's own session is answered. */
const asked = (page: Page, method: string, message: object) =>
  page.evaluate(async ([method, body]) => {
    const headers = { "Content-Type": "application/json", "Ferry-Dashboard": "1" };
    const answer = await fetch(`/_/api/ferry.admin.v1.AdminService/${method}`, { method: "POST", headers, body: body! });
    return { status: answer.status, body: (await answer.json()) as Record<string, any> };
  }, [method, JSON.stringify(message)]);

async function asOperator(page: Page): Promise<void> {
  await page.getByRole("link", { name: "Hub", exact: true }).click();
  await page.getByLabel("Operator token").fill(readFileSync(join(hub.data, "operator.token"), "utf8").trim());
  await page.getByRole("button", { name: "Open" }).click();
}

test("who is connected is seen within two seconds, who is stuck with which batch and why, and an admin closes a connection", async () => {
  const { token, database } = await team();
  const ask = await writer(token, database);
  const append = (text: string) => ask("POST", "events?store=s", { clientId: "c1", sessionId: "s1", events: [{ name: "noteAdded", args: { text } }] });
  await append("one");
  const { token: reads } = await call(hub, "IssueSyncToken", { databaseId: database, ops: ["read"], ttlSeconds: 600 }, token);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.getByRole("link", { name: "notes" }).click();
  await page.getByRole("link", { name: "Clients", exact: true }).click();
  await page.getByText("Nobody is connected now").waitFor();
  await page.getByText("Nobody’s writes are refused").waitFor();

  const phone = await follower(reads, "s", `phone ${HOSTILE}`);
  await rows(page).filter({ hasText: "phone" }).waitFor({ timeout: 4000 });
  expect(await rows(page).count()).toBe(1);
  const cells = async () => (await rows(page).first().locator("td").allTextContents()).slice(1);
  const [model, , address, , , at, behind] = await cells();
  expect([model, address, at, behind]).toEqual(["events sse · s", "127.0.0.1", "1", "0"]);
  await append("two");
  await expect.poll(async () => (await cells())[5], { timeout: 5000 }).toBe("2");
  expect(phone.heard()).toContain("two");
  expect(await page.evaluate(() => (window as { hit?: number }).hit)).toBeUndefined();

  // A phone whose credential does not reach the collection it writes to.
  const narrow = await call(hub, "IssueSyncToken", { databaseId: database, ops: ["read", "write"], models: ["records"], ttlSeconds: 600, caveats: ["tbl=public_"] }, token);
  const push = () => fetch(`${hub.url}/sync/app`, {
    method: "POST", headers: { Authorization: `Bearer ${narrow.token}`, "Content-Type": "application/json", "X-Client-Id": "phone-7" },
    body: JSON.stringify({ clientId: "phone-7", changes: [{ table: "notes", id: "n1", op: "insert", data: { text: "x", createdAt: new Date().toISOString() } }] }),
  });
  expect((await push()).status).toBe(403);
  expect((await push()).status).toBe(403);
  const stuck = page.getByRole("region", { name: "Stuck clients" }).locator("tbody tr");
  await stuck.filter({ hasText: "phone-7" }).filter({ hasText: "notes/n1" }).filter({ hasText: "PERMISSION_DENIED" }).waitFor();
  expect((await stuck.first().locator("td").allTextContents())[4]).toBe("2");
  for (const [width, height] of [[390, 844], [1280, 800]] as const) {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await shot(page, `clients-live-${width}-${colorScheme}`);
      await accessible(page, "clients");
    }
  }
  await page.getByLabel("Filter").fill("nobody like this");
  await page.getByText("None of those shown is like this").waitFor();
  await page.getByLabel("Filter").fill("");

  await page.getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: "Close" }).click();
  await page.getByText("Nobody is connected now").waitFor();
  await expect.poll(() => phone.ended()).toBe(true);
  expect(phone.heard()).toContain("event: bye");
  // It comes again, and who closed it is written down.
  const again = await follower(reads, "s", "phone");
  again.stop();
  await page.getByRole("link", { name: "Audit" }).click();
  await page.getByRole("cell", { name: "connection.close", exact: true }).waitFor();
});

test("a member sees his own connections alone, and closes none", async () => {
  const { token, database, org } = await team();
  const ask = await writer(token, database);
  await ask("POST", "events?store=s", { clientId: "c1", sessionId: "s1", events: [{ name: "a", args: {} }] });
  const invitation = await call(hub, "CreateInvitation", { org, email: VIEWER.email, role: "viewer" }, token);
  const member = await call(hub, "Signup", VIEWER);
  await call(hub, "AcceptInvitation", { code: invitation.code }, member.sessionToken);
  const reading = async (session: string) => (await call(hub, "IssueSyncToken", { databaseId: database, ops: ["read"], ttlSeconds: 600 }, session)).token;
  const [hers, his] = [await follower(await reading(token), "s", "laptop"), await follower(await reading(member.sessionToken), "s", "tablet")];
  const all = (await call(hub, "ListConnections", { database }, token)) as { connections: { id: string; client: string }[]; total: number };
  expect([all.total, all.connections.map((one) => one.client)]).toEqual([2, ["laptop", "tablet"]]);

  const page = await open();
  await fill(page, VIEWER, "Sign in");
  await page.goto(`${hub.url}/_/databases/${database}/clients`);
  await page.getByRole("heading", { name: "Your connections" }).waitFor();
  await rows(page).filter({ hasText: "tablet" }).waitFor();
  expect(await rows(page).count()).toBe(1);
  expect(await page.getByRole("heading", { name: "Stuck" }).count()).toBe(0);
  expect(await page.getByRole("button", { name: "Close" }).count()).toBe(0);
  const seen = await asked(page, "ListConnections", { database });
  expect([seen.body.total, seen.body.stuck]).toEqual([1, undefined]);
  for (const { id } of all.connections) expect((await asked(page, "CloseConnection", { id })).status).toBe(403);
  // Of a database that he does not see he learns nothing.
  const other = await call(hub, "CreateDatabase", { name: "secret", kind: "hub" }, (await call(hub, "Signup", { email: "eve@example.com", password: "a third password" })).sessionToken);
  expect((await asked(page, "ListConnections", { database: other.id })).status).toBe(404);
  expect((await asked(page, "CloseConnection", { id: "c_0_1" })).status).toBe(404);
  for (const method of ["GetSettings", "GetSeries", "ListBackups", "GetBackupStatus"]) {
    expect([401, 403], method).toContain((await asked(page, method, {})).status);
  }
  expect([hers.ended(), his.ended()]).toEqual([false, false]);
  hers.stop();
  his.stop();
});

test("what takes something away needs a sign-in of the last five minutes, which the hub asks for", async () => {
  const { database } = await team();
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.getByRole("link", { name: "notes" }).waitFor();
  // Ten minutes pass.
  await hub.kill();
  execFileSync("sqlite3", [join(hub.data, "control.db"), "UPDATE sessions SET created = created - 600000"]);
  await hub.start();
  const remove = await asked(page, "DeleteDatabase", { databaseId: database, confirmName: "notes" });
  expect([remove.status, remove.body.details[0].debug.reason]).toEqual([403, "SIGN_IN_AGAIN"]);
  const restore = await page.evaluate(async (path) => {
    const headers = { "Content-Type": "application/json", "Ferry-Dashboard": "1" };
    return (await fetch(path, { method: "POST", headers, body: "{}" })).status;
  }, `/_/api/v1/databases/${database}/restore`);
  expect(restore).toBe(403);
  // Everything else goes on, and with the password so does this.
  expect((await asked(page, "RenameDatabase", { database, name: "diary" })).status).toBe(200);
  await page.goto(`${hub.url}/_/databases/${database}`);
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByLabel("Type diary").fill("diary");
  await page.getByLabel("Your password").fill(ADMIN.password);
  await page.getByRole("button", { name: "Delete for good" }).click();
  await page.getByText("No database yet").waitFor();
});

test("a database of a backup is opened beside what lives, and put in its place by its name", async () => {
  const { token, database } = await team();
  const ask = await writer(token, database);
  await ask("PUT", "records/app/notes/n1", { text: "before" });
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await asOperator(page);
  await page.getByRole("link", { name: "Backups", exact: true }).click();
  await page.getByRole("button", { name: "Back up now" }).click();
  // The one of the hub's start may be there already, and be older than the database.
  const newest = page.getByRole("region", { name: "Backups" }).locator("tbody tr").first();
  await expect.poll(async () => (await newest.locator("td").allTextContents()).slice(3, 4)).toEqual(["2"]);
  await ask("PUT", "records/app/notes/n1", { text: "after" });

  await page.getByRole("button", { name: "Put back…" }).first().click();
  await page.getByLabel(/^Database/).fill("notes");
  await page.getByLabel("New name").fill("yesterday");
  for (const [width, height] of [[390, 844], [1280, 800]] as const) {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await shot(page, `restore-${width}-${colorScheme}`);
      await accessible(page, "restore");
    }
  }
  await page.getByRole("button", { name: "Put it back", exact: true }).click();
  await page.getByRole("link", { name: "yesterday" }).click();
  await page.getByRole("heading", { name: "yesterday" }).waitFor();
  const text = async (name: string) => {
    const { token: reads } = await call(hub, "IssueSyncToken", { databaseId: name, ops: ["read"], ttlSeconds: 60 }, token);
    const answer = await fetch(`${hub.url}/v1/databases/-/records/app/notes/n1`, { headers: { Authorization: `Bearer ${reads}` } });
    return ((await answer.json()) as { data?: { text: string } }).data?.text;
  };
  expect([await text("yesterday"), await text("notes")]).toEqual(["before", "after"]);

  await page.getByRole("link", { name: "Hub", exact: true }).click();
  await page.getByRole("link", { name: "Backups", exact: true }).click();
  await page.getByRole("button", { name: "Put back…" }).first().click();
  await page.getByLabel(/^Database/).fill("notes");
  await page.getByLabel("In its own place").check();
  const last = page.getByRole("button", { name: "Put it in its place" });
  expect(await last.isDisabled()).toBe(true);
  await page.getByLabel("Type notes").fill("notes");
  await last.click();
  await page.getByRole("status").getByText("done").waitFor();
  await expect.poll(() => text("notes")).toBe("before");
});

test("settings tell what they are and who said so, and plots begin before the page was opened", async () => {
  const { token, database } = await team();
  await (await writer(token, database))("PUT", "records/app/notes/n1", { text: "x" });
  const operator = readFileSync(join(hub.data, "operator.token"), "utf8").trim();
  const kept = async () => (await call(hub, "GetSeries", { names: ["ferry_commits_total"] }, operator)).series?.[0]?.values?.length ?? 0;
  for (const begun = Date.now(); (await kept()) < 3 && Date.now() - begun < 40_000;) await pause(500);
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await asOperator(page);
  await expect.poll(async () => {
    const points = await page.getByRole("img", { name: /^Commits/ }).locator("polyline").first().getAttribute("points", { timeout: 2000 }).catch(() => "");
    return points?.split(" ").length ?? 0;
  }).toBeGreaterThanOrEqual(2);
  // At a moment, by keys: all plots tell their exact values of then; what is newest comes back.
  const moment = page.getByLabel("Moment");
  expect(await moment.getAttribute("aria-valuetext")).toBe("now");
  await moment.focus();
  await page.keyboard.press("ArrowLeft");
  await expect.poll(() => moment.getAttribute("aria-valuetext")).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, \d+ \w+ ago$/);
  await page.getByRole("img", { name: /^Memory: [\d.]+ .iB then, at most/ }).waitFor();
  for (const [width, height] of [[390, 844], [1280, 800]] as const) {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await shot(page, `numbers-then-${width}-${colorScheme}`);
      await accessible(page, "numbers-then");
    }
  }
  await page.getByRole("button", { name: "Now" }).click();
  await page.getByRole("img", { name: /^Memory: [\d.]+ .iB now/ }).waitFor();
  // By the pointer, on any of them.
  const { x, y, width, height } = (await page.getByRole("img", { name: /^CPU/ }).boundingBox())!;
  await page.mouse.move(x + width / 3, y + height / 2);
  await expect.poll(() => moment.getAttribute("aria-valuetext")).toContain("UTC");
  expect(await page.locator(".plot path").count()).toBe(await page.locator(".plot").count());
  await page.mouse.move(2, 2);
  await expect.poll(() => moment.getAttribute("aria-valuetext")).toBe("now");
  await page.getByLabel("How far back").selectOption({ label: "6 hours" });
  await page.getByRole("heading", { name: "The last 6 hours" }).waitFor();
  await page.getByRole("link", { name: "Settings", exact: true }).click();
  const row = page.getByRole("row").filter({ hasText: "query_seconds" });
  await row.waitFor();
  expect((await row.locator("td").allTextContents()).slice(1, 3)).toEqual(["7", "--query-seconds"]);
  await page.getByLabel("Filter").fill("dashboard_session");
  expect(await page.getByRole("row").filter({ hasText: "dashboard_session_seconds" }).locator("td").allTextContents())
    .toEqual(["dashboard_session_seconds", "43200", "default", expect.stringContaining("sign-in")]);
  await page.getByLabel("Filter").fill("");
  await page.getByLabel("Only what was said").check();
  expect(await page.getByRole("row").filter({ hasText: "backup.target" }).count()).toBe(1);
  expect(await page.getByRole("row").filter({ hasText: "query_rows" }).count()).toBe(0);
}, 90_000);

test("the operator makes an account, locks it out and lets it in, and makes a code for a password that was lost", async () => {
  const { token } = await team();
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await asOperator(page);
  await page.getByRole("link", { name: "Users", exact: true }).click();
  await page.getByRole("button", { name: "New account" }).click();
  await page.getByLabel("E-mail").fill(VIEWER.email);
  await page.getByLabel("Password").fill(VIEWER.password);
  await page.getByRole("button", { name: "Make it" }).click();
  const row = page.getByRole("region", { name: "Users" }).getByRole("row").filter({ hasText: VIEWER.email });
  await row.getByText("active").waitFor();
  const login = async (password: string) => (await call(hub, "Login", { ...VIEWER, password })).status;
  expect(await login(VIEWER.password)).toBe(200);
  await row.getByRole("button", { name: "Lock out" }).click();
  await row.getByRole("button", { name: "Lock out" }).click();
  await row.getByText("locked out").waitFor();
  expect(await login(VIEWER.password)).not.toBe(200);
  await row.getByRole("button", { name: "Let in" }).click();
  await row.getByText("active").waitFor();
  await row.getByRole("button", { name: "Reset code" }).click();
  await page.getByLabel(`Type ${VIEWER.email}`).fill(VIEWER.email);
  await page.getByRole("button", { name: "Make it" }).click();
  const code = await page.getByTestId("secret").textContent();
  expect((await call(hub, "ResetPassword", { email: VIEWER.email, code, newPassword: "a new password" })).status).toBe(200);
  expect([await login(VIEWER.password), await login("a new password")]).toEqual([401, 200]);
  await page.getByLabel("Filter by address").fill("ADA@");
  await expect.poll(() => page.getByRole("region", { name: "Users" }).locator("tbody tr").count()).toBe(1);
  await page.getByRole("region", { name: "Signing keys" }).getByText("active").waitFor();
  // A member is told nothing of all this.
  expect((await call(hub, "ListUsers", {}, token)).status).toBe(401);
});
