// Verifies: OPR-36, REC-22, REC-44
import { afterEach, expect, test } from "vitest";
import { SteppedDevice, living } from "./device.ts";
import { Hub } from "./functions/hub.ts";

let hub: Hub | undefined;
const devices: SteppedDevice[] = [];

afterEach(async () => {
  for (const device of devices.splice(0)) device.db.close();
  await hub?.end();
});

/** A device of the real hub; what it was told is kept. */
async function device(told: string[]): Promise<SteppedDevice> {
  const token = await hub!.recordsToken();
  const fetcher: typeof fetch = async (input, init = {}) => {
    const { pathname, search } = new URL(String(input));
    const headers = new Headers(init.headers);
    headers.set("Authorization", `Bearer ${token}`);
    const response = await fetch(`${hub!.url}${pathname}${search}`, { ...init, headers });
    const text = await response.clone().text();
    for (const [, reason] of text.matchAll(/"resync":true,"reason":"(\w+)"/g)) told.push(reason!);
    return response;
  };
  const made = new SteppedDevice(() => Date.now(), fetcher);
  devices.push(made);
  return made;
}

// The whole volume is rolled back, without a target of backups: only the devices know what is lost.
test.each(["restarted", "running"])("a rolled back volume, of a hub that was %s meanwhile, gets back what its devices wrote", async (meanwhile) => {
  hub = await Hub.ofRecords();
  const told: Record<string, string[]> = { writer: [], reader: [], quiet: [] };
  const [writer, reader, quiet] = [await device(told.writer!), await device(told.reader!), await device(told.quiet!)];
  await writer.db.todos.add({ id: "kept", title: "before" });
  for (const each of [writer, reader, quiet]) await each.settle();
  if (meanwhile === "restarted") await hub.kill();
  const copy = hub.copy();
  if (meanwhile === "restarted") await hub.start();
  await writer.db.todos.add({ id: "lost", title: "x" });
  await writer.db.todos.update("kept", { title: "after" });
  await reader.db.todos.add({ id: "read", title: "y" });
  for (const each of [writer, reader, writer]) await each.settle();
  await hub.kill();
  hub.putBack(copy);
  await hub.start();
  // It writes past what is lost, and waits with something of its own.
  await quiet.db.todos.add({ id: "later", title: "z" });
  await quiet.settle();
  expect(told).toEqual({ writer: [], reader: [], quiet: [] });
  await reader.db.todos.add({ id: "unsent", title: "u" });
  for (let round = 0; round < 2; round++) for (const each of [reader, writer, quiet]) await each.settle();
  expect(told.reader![0]).toBe("diverged");
  const all = { kept: { title: "after" }, later: { title: "z" }, lost: { title: "x" }, read: { title: "y" }, unsent: { title: "u" } };
  const fresh = await device([]);
  await fresh.settle();
  for (const each of [writer, reader, quiet, fresh]) expect(await living(each.db.todos)).toEqual(all);
  // Told once.
  const count = Object.values(told).flat().length;
  for (const each of [reader, writer, quiet]) await each.settle();
  expect(Object.values(told).flat()).toHaveLength(count);
  expect(await hub.metric('ferry_lineage_evidence_total{model="records"}')).toBe(1);
}, 120_000);
