// Verifies: OPR-51, OPR-52
// Signing in by a provider, in a real browser.

import { afterAll, beforeAll, expect, test } from "vitest";
import { call } from "./hub.ts";
import { accessible, around, hub, open, shot, team, useBrowser } from "./page.ts";
import { startProvider, type Provider } from "./provider.ts";

let provider: Provider;
beforeAll(async () => {
  provider = await startProvider({ id: 7, email: "grace@example.com" });
  around.environment = provider.settings;
  around.origins = [provider.url];
});
afterAll(() => provider.end());
useBrowser();

test("somebody signs in by a provider, and what the browser brings back is of use to nobody else", async () => {
  await team();
  const page = await open();
  await page.getByRole("heading", { name: "Sign in to Ferry" }).waitFor();
  for (const [width, height] of [[390, 844], [1280, 800]] as const) {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await shot(page, `sign-in-provider-${width}-${colorScheme}`);
      await accessible(page, "sign-in");
    }
  }
  await page.getByRole("button", { name: "Sign in with GitHub" }).click();
  await page.getByRole("link", { name: "Agree" }).click();
  await page.getByRole("heading", { name: "Databases" }).waitFor();
  await page.locator("footer").getByText("grace@example.com").waitFor();
  expect(new URL(page.url()).hash).toBe("");
  expect(await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length])).toEqual(["", 0, 0]);
  const [cookie] = await page.context().cookies(`${hub.url}/_/`);
  expect(cookie).toMatchObject({ name: "ferry", httpOnly: true, sameSite: "Strict" });

  // A browser that did not begin it is not let in by what another one brought.
  const begun = await open();
  await begun.getByRole("button", { name: "Sign in with GitHub" }).click();
  const link = await begun.getByRole("link", { name: "Agree" }).getAttribute("href");
  const other = await open();
  await other.goto(link!);
  await other.getByText("This sign-in was begun in another tab").waitFor();
  expect(await other.getByRole("heading", { name: "Databases" }).count()).toBe(0);
  // Who has no mind to sign in there does so by a password.
  await other.getByLabel("E-mail").fill("ada@example.com");
  await other.getByLabel("Password").fill("a long password");
  await other.getByRole("button", { name: "Sign in", exact: true }).click();
  await other.getByRole("heading", { name: "Databases" }).waitFor();
});

test("a login that a program began is finished by that program, and not by the page", async () => {
  await team();
  const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
  const begun = await call(hub, "StartOAuth", { provider: "github", clientChallenge: challenge });
  const page = await open();
  await page.goto(begun.redirectUrl);
  await page.getByRole("link", { name: "Agree" }).click();
  await page.getByText("ferry oauth complete").waitFor();
});
