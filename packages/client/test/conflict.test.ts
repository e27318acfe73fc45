// What one device wins and the other loses is told on both.

import { expect, test } from "vitest";
import { SteppedDevice, living } from "./device.ts";
import { ModelHub } from "./hub.ts";

/** Two devices of one hub, which have both seen the record "1". */
async function pair(lists?: string) {
  const hub = new ModelHub();
  const time = { ms: Date.parse("2026-01-01T10:00:00Z") };
  hub.now = () => time.ms;
  const [a, b] = [0, 1].map(() => new SteppedDevice(() => time.ms, hub.fetch, lists)) as [SteppedDevice, SteppedDevice];
  await a.db.lists.add({ id: "1", title: "start" });
  for (const device of [a, b]) await device.settle();
  return { a, b, time };
}

// The device whose delete beat a later edit, and the one whose edit it was, stayed silent.
// Verifies: REC-42, REC-63
test("a delete that beats a later offline edit is told on both devices, once", async () => {
  const { a, b, time } = await pair();
  time.ms += 1000;
  await a.db.lists.delete("1");
  time.ms += 1000;
  await b.db.lists.update("1", { title: "edited" });
  for (const device of [a, b, a, b]) await device.settle();
  for (const { reports, db } of [a, b]) {
    expect(await living(db.lists)).toEqual({});
    const told = reports.flatMap(({ conflicts }) => conflicts);
    expect(told).toMatchObject([{ collection: "lists", id: "1", field: "title", loser: { value: "edited", by: expect.any(String) } }]);
    db.close();
  }
});

// One of two rows that a unique index forbids together was on one device, the other one on the other.
// Verifies: REC-63
test("a record that loses by a unique index is told on both devices, with the index and the other record", async () => {
  const { a, b, time } = await pair("id, &title");
  time.ms += 1000;
  await a.db.lists.add({ id: "first", title: "same" });
  time.ms += 1000;
  await b.db.lists.add({ id: "second", title: "same" });
  for (const device of [a, b, a, b]) await device.settle();
  for (const { reports, db } of [a, b]) {
    expect(await living(db.lists)).toEqual({ 1: { title: "start" }, first: { title: "same" } });
    const told = reports.flatMap(({ held }) => held);
    expect(told).toMatchObject([{ table: "lists", id: "second", index: "title", other: "first" }]);
    db.close();
  }
});
