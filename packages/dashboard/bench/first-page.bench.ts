// The first page on a slow line (400 kbit/s, 400 ms there and back: RTT_MS, KBIT): bytes of a first visit, and how long a later one takes.
import { expect, test } from "vitest";
import { ADMIN, fill, hub, open, team, useBrowser } from "./browser.ts";
import { report, setting } from "./report.ts";

useBrowser("--rate-limit-scale", "0");
const RTT_MS = setting("RTT_MS", 400);
const KBIT = setting("KBIT", 400);

test("first page", async () => {
  await team();
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  /** A visit in another tab, on a slow line. */
  const visit = async () => {
    const tab = await page.context().newPage();
    // The browser's own process for the hub's pages is no part of it.
    await tab.goto(`${hub.url}/healthz`);
    const devtools = await tab.context().newCDPSession(tab);
    await devtools.send("Network.enable");
    let [bytes, requests] = [0, 0];
    devtools.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
    devtools.on("Network.responseReceived", ({ response }) => (requests += response.fromDiskCache ? 0 : 1));
    const rate = (KBIT * 1000) / 8;
    await devtools.send("Network.emulateNetworkConditions", { offline: false, latency: RTT_MS, downloadThroughput: rate, uploadThroughput: rate });
    // By the page's own clock, which begins with the visit.
    await tab.addInitScript(() => {
      const found: Record<string, number> = ((window as { shown?: Record<string, number> }).shown = {});
      new MutationObserver(() => {
        if (document.querySelector("h1")) found.shell ??= Math.round(performance.now());
        if (document.querySelector("tbody a")) found.rows ??= Math.round(performance.now());
      }).observe(document, { childList: true, subtree: true });
    });
    await tab.goto(`${hub.url}/_/databases`, { waitUntil: "commit" });
    await tab.getByRole("link", { name: "notes" }).waitFor();
    const shown = await tab.evaluate(() => (window as { shown?: Record<string, number> }).shown);
    await tab.close();
    return { ...shown, bytes, requests };
  };
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Network.clearBrowserCache");
  const cold = await visit();
  const warm = [await visit(), await visit(), await visit()];
  expect(warm[0]!.bytes).toBeLessThan(cold.bytes);
  report("first-page", { "first visit": cold, "later visits": warm });
});
