// Verifies: OPR-50, OPR-52, OPR-53, OPR-54, OPR-59
// The embedded page of the real binary in a real browser.

import { expect, test } from "vitest";
import { call } from "./hub.ts";
import { accessible, ADMIN, fill, HOSTILE, hub, open, shot as picture, team, useBrowser, VIEWER } from "./page.ts";

useBrowser();

test("a first visit makes an account, a database and a token for an hour, which is then revoked", async () => {
  await expect.poll(() => hub.log()).toContain(`dashboard at ${hub.url}/_/`);
  const page = await open();
  expect(page.url()).toBe(`${hub.url}/_/`);
  await page.getByRole("heading", { name: "Make the first account of this hub" }).waitFor();
  await fill(page, ADMIN, "Make account");
  await page.getByText("No database yet").waitFor();
  await page.getByRole("button", { name: "New database" }).click();
  await page.getByLabel("Name", { exact: true }).fill("notes");
  await page.getByRole("button", { name: "Make it" }).click();
  await page.getByRole("link", { name: "Tokens" }).click();
  // What was ticked in a form that was left is not in the next one; and what would outlive the session is told.
  await page.getByRole("button", { name: "New token" }).click();
  await page.getByRole("checkbox", { name: "write" }).check();
  await page.getByRole("combobox", { name: "Lives for" }).selectOption("30 days");
  await page.getByText("it ends with your session").waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "New token" }).click();
  await page.getByLabel("Label").fill(HOSTILE);
  await page.getByLabel("Only from the network").fill("127.0.0.0/8");
  expect(await page.getByTestId("preview").textContent()).toBe(
    "Whoever holds it may read in all models of notes, only from 127.0.0.0/8, for an hour. It opens no other database.",
  );
  await page.getByRole("button", { name: "Make token" }).click();
  const token = (await page.getByTestId("secret").textContent())!;
  // It reads, and does not write.
  const events = `${hub.url}/v1/databases/-/events?store=s`;
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const written = await fetch(events, { method: "POST", headers, body: JSON.stringify({ events: [{ name: "a", args: {} }] }) });
  expect(written.status).toBe(403);
  expect((await fetch(`${hub.url}/v1/databases/-/ops/entities`, { headers })).status).toBe(200);
  // What a user typed is text.
  expect(await page.getByRole("cell", { name: HOSTILE }).textContent()).toBe(HOSTILE);
  expect(await page.evaluate(() => (window as { hit?: number }).hit)).toBeUndefined();
  await page.getByRole("button", { name: "Done" }).click();
  await page.getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("button", { name: "Revoke" }).click();
  await page.getByText("No token is valid now").waitFor();
  expect((await fetch(`${hub.url}/v1/databases/-/ops/entities`, { headers })).status).toBe(401);
});

test("the session stands in a cookie that counts under /_/api/ alone, and only for the page", async () => {
  await team();
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  const [cookie] = await page.context().cookies(`${hub.url}/_/`);
  expect(cookie).toMatchObject({ name: "ferry", path: "/_/", httpOnly: true, sameSite: "Strict" });
  expect(await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length])).toEqual(["", 0, 0]);

  const ask = (path: string, headers: Record<string, string>) =>
    fetch(`${hub.url}${path}`, { method: "POST", headers: { Cookie: `ferry=${cookie!.value}`, ...headers }, body: "{}" });
  const whoami = "/ferry.admin.v1.AdminService/Whoami";
  const json = { "Content-Type": "application/json" };
  const own = { ...json, "Ferry-Dashboard": "1", Origin: hub.url };
  expect((await ask(`/_/api${whoami}`, own)).status).toBe(200);
  expect((await ask(whoami, own)).status).toBe(401);
  for (const foreign of [
    { ...own, Origin: "http://evil.example" }, { ...json, Origin: hub.url }, { ...own, "Sec-Fetch-Site": "cross-site" },
    { ...own, "Sec-Fetch-Site": "same-site" }, { ...own, "Content-Type": "text/plain" }, { ...json, "Ferry-Dashboard": "1" },
  ]) {
    expect((await ask(`/_/api${whoami}`, foreign)).status, JSON.stringify(foreign)).toBe(403);
  }
  // A name that is not this machine's, over plain http: no cookie is taken or given.
  const { request } = await import("node:http");
  const far = await new Promise<number>((resolve, reject) => {
    const sent = request(`${hub.url}/_/api${whoami}`, { method: "POST", headers: { ...own, Host: "ferry.example", Origin: "http://ferry.example" } },
      (answer) => resolve(answer.resume().statusCode!));
    sent.on("error", reject).end("{}");
  });
  expect(far).toBe(403);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in to Ferry" }).waitFor();
  expect((await ask(`/_/api${whoami}`, own)).status).toBe(401);
  expect(await page.context().cookies(`${hub.url}/_/`)).toEqual([]);
});

test("a program that asks for / gets a line, and every answer under /_/ is guarded", async () => {
  const line = await fetch(hub.url, { redirect: "manual" });
  expect([line.status, await line.text()]).toEqual([200, expect.stringMatching(/^ferry .*\n$/)]);
  for (const path of ["/_/", "/_/databases/x", "/_/app.js", "/_/api/hub", "/_/api/nothing"]) {
    const answer = await fetch(`${hub.url}${path}`);
    expect(answer.headers.get("content-security-policy"), path).toContain("default-src 'none'; script-src 'self'");
    expect(answer.headers.get("x-frame-options"), path).toBe("DENY");
    expect(answer.headers.get("access-control-allow-origin"), path).toBeNull();
  }
  const folder = await fetch(`${hub.url}/_`, { redirect: "manual" });
  expect([folder.status, folder.headers.get("location")]).toEqual([308, "/_/"]);
});

test("a viewer is offered nothing of an admin's, and the hub refuses it", async () => {
  const { token, database, org } = await team();
  const invitation = await call(hub, "CreateInvitation", { org, email: VIEWER.email, role: "viewer" }, token);
  const page = await open();
  await page.getByRole("button", { name: "Make an account" }).click();
  await fill(page, VIEWER, "Make account");
  const status = (method: string, message: object) =>
    page.evaluate(async ([method, body]) => {
      const headers = { "Content-Type": "application/json", "Ferry-Dashboard": "1" };
      return (await fetch(`/_/api/ferry.admin.v1.AdminService/${method}`, { method: "POST", headers, body: body! })).status;
    }, [method, JSON.stringify(message)]);
  expect(await status("GetDatabase", { database })).toBe(404);
  await page.getByRole("link", { name: "Account" }).click();
  await page.getByLabel("Invitation code").fill(invitation.code);
  await page.getByRole("button", { name: "Join" }).click();
  await page.getByLabel("Organisation").locator(`option[value="${org}"]`).waitFor({ state: "attached" });
  await page.getByRole("link", { name: "Databases" }).click();
  await page.getByLabel("Organisation").selectOption(org);
  await page.getByRole("link", { name: "notes" }).click();
  await page.getByRole("link", { name: "Tokens" }).waitFor();
  for (const name of ["API keys", "Event stores"]) expect(await page.getByRole("link", { name }).count()).toBe(0);
  expect(await page.getByRole("button", { name: "Delete" }).count()).toBe(0);
  for (const [method, message] of [
    ["DeleteDatabase", { databaseId: database, confirmName: "notes" }], ["RenameDatabase", { database, name: "x" }],
    ["CreateApiKey", { database, spec: { kind: "secret", ops: ["read"], models: ["pages"] } }], ["ListAuditEvents", { org }],
    ["CreateInvitation", { org, email: "x@example.com", role: "admin" }], ["IssueSyncToken", { databaseId: database, ops: ["write"] }],
  ] as const) {
    expect(await status(method, message), method).toBe(403);
  }
  const stores = await page.evaluate(async (path) => (await fetch(path)).status, `/_/api/v1/databases/${database}/events/stores`);
  expect(stores).toBe(403);
});

test("what is written is seen by itself, a session that ends keeps the form, and a hub that dies comes back", async () => {
  const { token, database } = await team();
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.getByRole("link", { name: "notes" }).click();
  expect(await page.getByTestId("seq").textContent()).toBe("0");
  const { token: writer } = await call(hub, "IssueSyncToken", { databaseId: database, ops: ["read", "write"], ttlSeconds: 600 }, token);
  const put = await fetch(`${hub.url}/v1/databases/-/records/app/notes/n1`, {
    method: "PUT", headers: { Authorization: `Bearer ${writer}`, "Content-Type": "application/json" }, body: JSON.stringify({ text: HOSTILE }),
  });
  expect([put.status, put.ok]).toEqual([put.status, true]);
  await page.getByRole("cell", { name: "records" }).waitFor();

  await hub.kill();
  await page.getByText("The hub does not answer").waitFor();
  expect(await page.getByTestId("seq").textContent()).not.toBe("0");
  await hub.start();
  await page.getByText("The hub does not answer").waitFor({ state: "detached" });

  await page.getByRole("button", { name: "Rename" }).click();
  await page.getByLabel("New name").fill("diary");
  await call(hub, "RevokeAllSessions", {}, token);
  await page.getByRole("button", { name: "Rename" }).last().click();
  await page.getByText("Your session has ended").waitFor();
  expect(await page.getByLabel("New name").inputValue()).toBe("diary");
});

test("an admin deletes a database by its name and the password, and finds who did", async () => {
  await team();
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.getByRole("link", { name: "notes" }).click();
  await page.getByRole("button", { name: "Delete" }).click();
  const last = page.getByRole("button", { name: "Delete for good" });
  expect(await last.isDisabled()).toBe(true);
  await page.getByLabel("Type notes").fill("notes");
  await page.getByLabel("Your password").fill("wrong password");
  await last.click();
  await page.getByText("invalid credentials").waitFor();
  // Which says nothing of the session that is.
  expect(await page.getByText("Your session has ended").count()).toBe(0);
  await page.getByLabel("Your password").fill(ADMIN.password);
  await last.click();
  await page.getByText("No database yet").waitFor();
  // By keys alone.
  await page.keyboard.press("g");
  await page.keyboard.press("a");
  await page.getByRole("cell", { name: "database.delete", exact: true }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("nobody at all");
  await page.getByText("Nothing of this kind happened").waitFor();
});

test("all is reached by keys, what has the focus is seen, and a theme that is chosen stays", async () => {
  await team();
  const page = await open({ colorScheme: "light" });
  await fill(page, ADMIN, "Sign in");
  await page.getByRole("link", { name: "notes" }).waitFor();
  /** What has the focus, and how it shows. */
  const focused = () => page.evaluate(() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement!);
    return { name: document.activeElement!.textContent!.slice(0, 40) || document.activeElement!.getAttribute("aria-label") || "", isSeen: outlineStyle !== "none" && parseFloat(outlineWidth) >= 1 };
  });
  const wanted = ["Databases", "People", "Audit", "Hub", "Account", "?", "Sign out", "Filter by name", "New database", "notes"];
  const reached: string[] = [];
  await page.locator("body").press("Home");
  for (let tabs = 0; tabs < 30 && reached.at(-1) !== "notes"; tabs += 1) {
    await page.keyboard.press("Tab");
    const { name, isSeen } = await focused();
    expect(isSeen, name).toBe(true);
    reached.push(name);
  }
  expect(wanted.filter((name) => !reached.includes(name))).toEqual([]);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Databases / notes" }).waitFor();
  for (const [letter, heading] of [["p", "People"], ["h", "Hub"], ["d", "Databases"], ["c", "Account"]] as const) {
    await page.keyboard.press("g");
    await page.keyboard.press(letter);
    await page.getByRole("heading", { name: heading, level: 1 }).waitFor();
  }
  await page.keyboard.press("?");
  await page.getByRole("region", { name: "Keys" }).waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "Keys" }).waitFor({ state: "detached" });

  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const [light, dark] = ["rgb(251, 251, 250)", "rgb(19, 21, 23)"];
  expect(await ground()).toBe(light);
  await page.getByLabel("Theme").selectOption("dark");
  expect(await ground()).toBe(dark);
  await page.reload();
  await page.getByRole("heading", { name: "Account" }).waitFor();
  expect([await ground(), await page.getByLabel("Theme").inputValue()]).toEqual([dark, "dark"]);
  await accessible(page, "account-dark");
  await page.getByLabel("Theme").selectOption("system");
  expect(await ground()).toBe(light);
  await page.emulateMedia({ colorScheme: "dark" });
  expect(await ground()).toBe(dark);
  expect(await page.evaluate(() => localStorage.length)).toBe(0);
});

for (const [width, height] of [[390, 844], [768, 1024], [1280, 800], [1920, 1080]] as const) {
  for (const colorScheme of ["light", "dark"] as const) {
    test(`each page at ${width}×${height}, ${colorScheme}: nothing but tables is wider than the window`, async () => {
      const { token, database, org } = await team();
      await call(hub, "IssueSyncToken", { databaseId: database, ops: ["read"], models: ["pages"], ttlSeconds: 3600, label: "analyst" }, token);
      await call(hub, "CreateApiKey", { database, spec: { kind: "publishable", label: "web", ops: ["read"], models: ["records"], origins: ["https://app.example.com"] } }, token);
      await call(hub, "CreateInvitation", { org, email: VIEWER.email, role: "viewer" }, token);
      const page = await open({ viewport: { width, height }, colorScheme });
      const shot = async (name: string) => {
        await picture(page, `${name}-${width}-${colorScheme}`);
        await accessible(page, name);
      };
      await page.getByRole("heading", { name: "Sign in to Ferry" }).waitFor();
      await shot("sign-in");
      await fill(page, ADMIN, "Sign in");
      await page.getByRole("link", { name: "notes" }).waitFor();
      await shot("databases");
      await page.getByRole("link", { name: "notes" }).click();
      for (const [link, name, shown] of [
        ["Overview", "database", "Newest seq|No model has"], ["Tokens", "tokens", "analyst"], ["API keys", "keys", "web"], ["Event stores", "events", "No store yet"],
        ["People", "people", VIEWER.email], ["Audit", "audit", "database.create"], ["Account", "account", "dashboard"],
      ] as const) {
        await page.getByRole("link", { name: link, exact: true }).click();
        await page.locator("main").getByText(new RegExp(shown)).first().waitFor();
        await shot(name);
        if (name === "tokens") {
          await page.getByRole("button", { name: "New token" }).click();
          await shot("new-token");
          await page.keyboard.press("Escape");
        }
      }
    });
  }
}
