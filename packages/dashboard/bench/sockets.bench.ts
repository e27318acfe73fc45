// 9,500 sockets (COUNT; a hub with 20,000 open files takes a few more) that follow a database, in the page of its clients.
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "vitest";
import { call } from "../test/hub.ts";
import { ADMIN, fill, hub, open, team, useBrowser, writer } from "./browser.ts";
import { report, setting, spread, used } from "./report.ts";

const COUNT = setting("COUNT", 9_500);
useBrowser("--rate-limit-scale", "0", "--max-connections", String(2 * COUNT + 1000), "--max-connections-per-ip", String(2 * COUNT + 1000));
const AT_ONCE = 100;

/** A stream of events, begun and left open. */
function follow(token: string): Promise<Socket> {
  const { hostname, port, host } = new URL(hub.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => {
      socket.write(`GET /v1/databases/-/events/live?store=s&after=0 HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    });
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("the hub closed it at once: it has as many as it takes (max_connections, and half of its open files)")));
    socket.once("data", (head) => (head.toString().startsWith("HTTP/1.1 200") ? resolve(socket.resume()) : reject(new Error(head.toString().slice(0, 400)))));
  });
}

test("clients", async () => {
  const { token, database } = await team();
  const ask = await writer(token, database);
  await ask("POST", "events?store=s", { clientId: "c1", sessionId: "s1", events: [{ name: "noteAdded", args: {} }] });
  const { token: reads } = await call(hub, "IssueSyncToken", { databaseId: database, ops: ["read"], ttlSeconds: 3600 }, token);
  const operator = readFileSync(join(hub.data, "operator.token"), "utf8").trim();
  const sockets: Socket[] = [];
  try {
    while (sockets.length < COUNT) sockets.push(...(await Promise.all(Array.from({ length: Math.min(AT_ONCE, COUNT - sockets.length) }, () => follow(reads)))));
    const times: number[] = [];
    let listed = 0;
    for (let time = 0; time < 20; time += 1) {
      const begun = performance.now();
      const answer = await call(hub, "ListConnections", { database }, token);
      times.push(performance.now() - begun);
      listed = (answer.connections as unknown[]).length;
    }
    const page = await open();
    await fill(page, ADMIN, "Sign in");
    const begun = performance.now();
    await page.goto(`${hub.url}/_/databases/${database}/clients`);
    await page.getByRole("region", { name: "Connections" }).locator("tbody tr").first().waitFor();
    const shown = performance.now() - begun;
    const [from, before] = [performance.now(), await used(operator)];
    await page.waitForTimeout(20_000);
    const after = await used(operator);
    report("sockets", {
      sockets: sockets.length, "rows of the first answer": listed, "ListConnections, ms": spread(times), "page shown after, ms": Math.round(shown),
      "rows on the page": await page.getByRole("region", { name: "Connections" }).locator("tbody tr").count(),
      "hub with the page open, % of a core": (((after.seconds - before.seconds) / ((performance.now() - from) / 1000)) * 100).toFixed(1),
      "hub, MiB": Math.round(after.bytes / (1 << 20)),
    });
  } finally {
    sockets.forEach((socket) => socket.destroy());
  }
});
