// What an open page costs the hub, as a part of a core: at most 0.5 %. SECONDS on each page, DATABASES in the list.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "vitest";
import { call } from "../test/hub.ts";
import { ADMIN, fill, hub, open, team, useBrowser, writer } from "./browser.ts";
import { report, setting, used } from "./report.ts";

useBrowser("--rate-limit-scale", "0", "--max-databases-per-org", "20000");
const SECONDS = setting("SECONDS", 60);
const DATABASES = setting("DATABASES", 100);

test("an open page", async () => {
  const { token, database, org } = await team();
  for (let at = 0; at < DATABASES; at += 1) await call(hub, "CreateDatabase", { name: `app-${at}`, kind: "hub", org }, token);
  const ask = await writer(token, database);
  await ask("POST", "events?store=s", { clientId: "c1", sessionId: "s1", events: [{ name: "noteAdded", args: {} }] });
  await ask("PUT", "records/app/notes/n1", { text: "x" });
  const operator = readFileSync(join(hub.data, "operator.token"), "utf8").trim();
  await call(hub, "SetUserOperator", { userId: ADMIN.email, operator: true }, operator);
  const part = async () => {
    const before = await used(operator);
    await pause(SECONDS * 1000);
    return ((await used(operator)).seconds - before.seconds) / SECONDS;
  };
  await pause(5000);
  const alone = await part();
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  const found: Record<string, unknown> = { "no page, % of a core": (alone * 100).toFixed(2) };
  for (const path of ["databases", `databases/${database}`, `databases/${database}/tables`, `databases/${database}/log/s`, `databases/${database}/clients`, "hub"]) {
    await page.goto(`${hub.url}/_/${path}`);
    await pause(3000);
    found[`${path.replace(database, "…")}, % of a core more`] = (((await part()) - alone) * 100).toFixed(2);
  }
  report("idle", found);
});
