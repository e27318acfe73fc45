// A thousand events a second (RATE) while the page shows the log: no frame is dropped, by Chromium's tracing.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "vitest";
import { ADMIN, fill, hub, open, team, useBrowser, writer } from "./browser.ts";
import { report, setting, spread, used } from "./report.ts";

useBrowser("--rate-limit-scale", "0");
const RATE = setting("RATE", 1000);
const SECONDS = setting("SECONDS", 20);
const BATCHES = 10;

type Traced = { name: string; ph: string; args?: { chrome_frame_reporter?: { state?: string; affects_smoothness?: boolean } } };

test("live rows", async () => {
  const { token, database } = await team();
  const ask = await writer(token, database);
  const event = (at: number) => ({ name: "noteAdded", args: { text: `note ${at}`, at } });
  await ask("POST", "events?store=s", { clientId: "c1", sessionId: "s1", events: [event(0)] });
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.goto(`${hub.url}/_/databases/${database}/log/s`);
  await page.getByText("noteAdded").first().waitFor();
  await page.evaluate(() => {
    const frames: number[] = [];
    (window as unknown as { frames: number[] }).frames = frames;
    let last = performance.now();
    const each = (now: number) => {
      frames.push(now - last);
      last = now;
      requestAnimationFrame(each);
    };
    requestAnimationFrame(each);
  });
  const operator = readFileSync(join(hub.data, "operator.token"), "utf8").trim();
  const browser = page.context().browser()!;
  await browser.startTracing(page, { categories: ["cc", "benchmark", "devtools.timeline", "disabled-by-default-devtools.timeline.frame"] });
  const [begun, before] = [performance.now(), await used(operator)];
  let written = 0;
  while (performance.now() - begun < SECONDS * 1000) {
    const due = Math.floor(((performance.now() - begun) / 1000) * RATE) - written;
    const count = Math.min(due, Math.ceil(RATE / BATCHES));
    if (count > 0) {
      await ask("POST", "events?store=s", { clientId: "c1", sessionId: "s1", events: Array.from({ length: count }, (_, at) => event(written + at)) });
      written += count;
    }
    await pause(1000 / BATCHES / 2);
  }
  const took = (performance.now() - begun) / 1000;
  const traced = (JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: Traced[] }).traceEvents;
  const after = await used(operator);
  const frames = await page.evaluate(() => (window as unknown as { frames: number[] }).frames);
  const reports = traced.flatMap((one) => (one.args?.chrome_frame_reporter ? [one.args.chrome_frame_reporter] : []));
  report("live", {
    "rows a second": Math.round(written / took),
    "frames that were drawn": traced.filter((one) => one.name === "DrawFrame").length,
    "frames that were dropped (timeline)": traced.filter((one) => one.name === "DroppedFrame").length,
    "frames that were dropped and seen (compositor)": reports.filter((one) => one.state === "STATE_DROPPED" && one.affects_smoothness).length,
    "ms between frames": spread(frames),
    "frames later than 25 ms": frames.filter((ms) => ms > 25).length,
    "hub, % of a core": (((after.seconds - before.seconds) / took) * 100).toFixed(1),
  });
});
