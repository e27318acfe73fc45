// Verifies: FUN-53, FUN-74, FUN-83
// Somebody signs in, and stays so when the token has expired. The list and the functions share the token, and
// know its user by one name.

import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { App } from "./app.ts";
import { isStillLoaded, Pages } from "./browser.ts";

const wait = { timeout: 40_000, interval: 50 };
/** Tokens live so long that a page needs several in this test, and no longer. */
const TOKEN_SECONDS = 6;
let app: App;
let pages: Pages;

const SIGN_IN = `
export const signIn = mutation(async (ctx, { name }: { name: string }) => ctx.signJwt!({ sub: name }, "${TOKEN_SECONDS}s"));
export const whoAmI = query(async (ctx) => \`\${ctx.user?.sub}, \${ctx.db.select({ all: count() }).from(notes).get()?.all} notes\`);
`;
const GET_TOKEN = `
let held: string | undefined;

export async function getToken(refused?: string): Promise<string> {
  if (held === undefined || held === refused) held = await signIn();
  return held;
}

async function signIn(): Promise<string> {
  const response = await fetch(\`\${hub.url}/rpc/signIn\`, { method: "POST", headers: { "Ferry-Key": hub.key }, body: JSON.stringify({ name: "ann" }) });
  const { data, error } = await response.json();
  if (!response.ok) throw new Error(error);
  document.documentElement.dataset.tokens = String(Number(document.documentElement.dataset.tokens ?? 0) + 1);
  return data;
}

`;

beforeAll(async () => {
  pages = await Pages.launch();
  app = await App.init("--template", "react", "--auth", "local");
  app.append("ferry/functions/index.ts", SIGN_IN);
  const client = app.read("ferry/client.ts");
  app.edit("ferry/client.ts", [client.slice(client.indexOf("/**\n * The token"), client.indexOf("export const client")), GET_TOKEN]);
  app.edit("src/Progress.tsx", [`const clearDone =`, `const { data: me } = useQuery("whoAmI");\n  const clearDone =`], [`Progress</h2>`, `Progress</h2>\n      <p id="me">{me}</p>`]);
  await app.startPage();
});
beforeEach(({ onTestFailed }) => onTestFailed(() => console.log(app?.terminal)));
afterAll(async () => {
  await pages?.end();
  await app?.end();
});

const me = (page: Page, wanted: string) => expect.poll(() => page.locator("#me").textContent({ timeout: 1000 }).catch(() => ""), wait).toBe(wanted);
const tokens = (page: Page) => page.evaluate(() => Number(document.documentElement.dataset.tokens));

test("a token expires and is refreshed; the page stays live, and keeps its user", async () => {
  const [a, b] = [await pages.open(app.pageUrl), await pages.open(app.pageUrl)];
  await me(a, "ann, 0 notes");
  await expect.poll(() => a.locator(".connection").textContent(), wait).toBe("Up to date");
  const first = await tokens(a);
  await expect.poll(() => tokens(a), wait).toBeGreaterThan(first + 1);
  // Both the socket and what is sent have another token now than in the beginning.
  await b.getByLabel("New note").fill("Still here");
  await b.getByLabel("New note").press("Enter");
  await me(a, "ann, 1 notes");
  await a.getByLabel("New entry").fill("Of ann");
  await a.getByLabel("New entry").press("Enter");
  await expect.poll(() => b.locator(".list .title").evaluateAll((titles) => titles.map((title) => (title as HTMLInputElement).value)), wait).toEqual(["Of ann"]);
  await expect.poll(() => b.locator(".progress .figure").textContent(), wait).toBe("0 of 1 done");
  await expect.poll(() => a.locator(".connection").textContent(), wait).toBe("Up to date");
  expect(await isStillLoaded(a) && await isStillLoaded(b)).toBe(true);
  expect(pages.errors).toEqual([]);
});
