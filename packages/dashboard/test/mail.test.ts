// Verifies: OPR-92, OPR-93
// What mails lead to, in a real browser: each link works, once, and its code stays nowhere.

import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { call } from "./hub.ts";
import { startMailServer, type MailServer } from "./mail.ts";
import { accessible, ADMIN, around, fill, hub, open, shot, team, useBrowser, VIEWER } from "./page.ts";

let server: MailServer;
beforeAll(async () => {
  server = await startMailServer();
  around.environment = server.settings;
});
afterAll(() => server.end());
useBrowser("--rate-limit-scale", "0");

const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });

/** That the page looks well, and shows the code neither in its address nor in what goes back to. */
async function seen(page: Page, name: string): Promise<void> {
  expect(new URL(page.url()).hash).toBe("");
  for (const [width, height] of [[390, 844], [1280, 800]] as const) {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await shot(page, `${name}-${width}-${colorScheme}`);
      await accessible(page, name);
    }
  }
}

test("whoever forgot a password has a link mailed, and sets a new one", async () => {
  await team();
  const page = await open();
  await button(page, "Forgot your password?").click();
  await page.getByLabel("E-mail").fill("nobody@example.com");
  await seen(page, "forgot");
  await button(page, "Mail me a link").click();
  const unknown = await page.getByRole("status").innerText();
  await button(page, "Back to sign-in").click();
  await button(page, "Forgot your password?").click();
  await page.getByLabel("E-mail").fill(ADMIN.email);
  await button(page, "Mail me a link").click();
  expect((await page.getByRole("status").innerText()).replace(ADMIN.email, "X")).toBe(unknown.replace("nobody@example.com", "X"));

  const link = await server.link(ADMIN.email, "reset");
  await page.goto(link);
  await page.getByLabel("New password").fill("short");
  await button(page, "Set password").click();
  await page.getByRole("alert").getByText("too short").waitFor();
  await page.getByLabel("New password").fill("a newer password");
  await seen(page, "reset");
  await button(page, "Set password").click();
  await page.getByText("The password is set").waitFor();
  await button(page, "Sign in").click();
  await fill(page, { ...ADMIN, password: "a newer password" }, "Sign in");
  const again = await open();
  await again.goto(link);
  await again.getByLabel("New password").fill("a third password");
  await button(again, "Set password").click();
  await again.getByRole("alert").getByText("invalid or expired code").waitFor();
});

test("an address is confirmed, and until then the page says so", async () => {
  const page = await open();
  await fill(page, ADMIN, "Make account");
  await page.getByText("is not confirmed yet").waitFor();
  await seen(page, "unverified");
  await server.link(ADMIN.email, "verify");
  await button(page, "Mail me another link").click();
  await page.getByText("A mail is on its way").waitFor();
  const other = await open();
  await other.goto(await server.link(ADMIN.email, "verify"));
  await other.getByRole("heading", { name: "Confirm your e-mail address" }).waitFor();
  await seen(other, "verify");
  await button(other, "It is mine").click();
  await other.getByText("The address is confirmed").waitFor();
  // Where it was asked the hint goes by itself.
  await page.getByText("A mail is on its way").waitFor({ state: "detached" });
});

test("an invitation is accepted by somebody new, by somebody who has an account, and by nobody twice", async () => {
  // Of hubs that are no more.
  server.mails.splice(0);
  const { token } = await team();
  // Nobody's invitations are mailed whose own address is not proven.
  const proven = await call(hub, "VerifyEmail", { code: (await server.link(ADMIN.email, "verify")).split("#")[1] });
  expect(proven.status).toBe(200);
  const org = (await call(hub, "CreateOrg", { name: "Engines" }, token)).id;
  await call(hub, "CreateInvitation", { org, email: VIEWER.email, role: "viewer" }, token);
  const link = await server.link(VIEWER.email, "invite");
  const page = await open();
  await page.goto(link);
  await page.getByRole("heading", { name: "You are invited" }).waitFor();
  await page.getByLabel("E-mail").fill(VIEWER.email);
  await page.getByLabel("New password").fill(VIEWER.password);
  await seen(page, "invite");
  await button(page, "Make account and join").click();
  await page.getByText("You are a member now").waitFor();
  await button(page, "Go on").click();
  await page.getByLabel("Organisation").getByRole("option", { name: "Engines" }).waitFor({ state: "attached" });

  const more = (await call(hub, "CreateOrg", { name: "More" }, token)).id;
  await call(hub, "CreateInvitation", { org: more, email: VIEWER.email, role: "member" }, token);
  const second = await server.link(VIEWER.email, "invite");
  await page.goto(second);
  await button(page, "Join").click();
  await button(page, "Go on").click();
  await page.getByLabel("Organisation").getByRole("option", { name: "More" }).waitFor({ state: "attached" });
  await page.goto(second);
  await button(page, "Join").click();
  await page.getByRole("alert").getByText("invalid or expired invitation code").waitFor();

  const third = (await call(hub, "CreateOrg", { name: "Third" }, token)).id;
  await call(hub, "CreateInvitation", { org: third, email: VIEWER.email, role: "member" }, token);
  const other = await open();
  await other.goto(await server.link(VIEWER.email, "invite"));
  await button(other, "I have an account").click();
  await other.getByLabel("E-mail").fill(VIEWER.email);
  await other.getByLabel("Password").fill(VIEWER.password);
  await button(other, "Sign in and join").click();
  await button(other, "Go on").click();
  await other.getByLabel("Organisation").getByRole("option", { name: "Third" }).waitFor({ state: "attached" });
});
