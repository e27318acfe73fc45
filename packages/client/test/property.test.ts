// Verifies: REC-64, REC-66, OPR-36
import fc from "fast-check";
import { expect, test } from "vitest";
import { SteppedDevice, living } from "./device.ts";
import { ModelHub } from "./hub.ts";
import { perform, runs, skews, steps, type Participant, type Schedule } from "./schedule.ts";

type Cluster = { hub: ModelHub; participants: Participant[]; ms: number };

/** Devices whose clocks differ by `ahead`, milliseconds, and which may have a unique index in one table. */
function cluster(ahead: readonly number[], lists?: string): Cluster {
  const hub = new ModelHub();
  hub.pageLimit = 2;
  const cluster: Cluster = { hub, participants: [], ms: Date.parse("2026-01-01T10:00:00Z") };
  hub.now = () => cluster.ms;
  cluster.participants = ahead.map((aheadMs) => {
    const clock = { aheadMs };
    return { clock, device: new SteppedDevice(() => cluster.ms + clock.aheadMs, hub.fetch, lists) };
  });
  return cluster;
}

async function run(cluster: Cluster, schedule: Schedule): Promise<void> {
  for (const step of schedule) {
    // What a unique index forbids is not written at all. Dexie's `update` says so in the text of an error of its own.
    await perform(cluster.participants, step, cluster).catch((error: Error) => {
      if (!`${error.name} ${error.message}`.includes("ConstraintError")) throw error;
    });
  }
}

const settle = async (devices: SteppedDevice[]) => {
  for (let round = 0; round < 2; round++) for (const device of devices) await device.settle();
};

async function converged(cluster: Cluster): Promise<void> {
  const { hub, participants } = cluster;
  const fresh = new SteppedDevice(() => cluster.ms, hub.fetch);
  const devices = [...participants.map(({ device }) => device), fresh];
  await settle(devices);
  for (const name of ["todos", "lists"] as const) {
    for (const device of devices) expect(await living(device.db[name])).toEqual(hub.living(name));
  }
  for (const device of devices) device.db.close();
}

test("any interleaving of writes, pulls, pushes, losses, jumps of clocks and reloads ends equal everywhere", async () => {
  await fc.assert(
    fc.asyncProperty(steps, skews, async (schedule, ahead) => {
      const all = cluster(ahead);
      await run(all, schedule);
      await converged(all);
    }),
    runs(200),
  );
}, 3_600_000);

test("a restore that lost acknowledged writes gets them back from their writers", async () => {
  await fc.assert(
    fc.asyncProperty(steps, steps, steps, async (before, lost, after) => {
      const all = cluster([0, 0, 0]);
      await run(all, before);
      const backup = { records: structuredClone(all.hub.records), claims: structuredClone(all.hub.claims), cts: all.hub.cts };
      await run(all, lost);
      Object.assign(all.hub, backup, { epoch: "e2" });
      await run(all, after);
      await converged(all);
    }),
    runs(60),
  );
}, 3_600_000);

// The whole volume was rolled back: the hub knows its epoch, and nothing of what it lost. Cursors say of which run they are.
test("a rollback that no epoch tells gets acknowledged writes back from their writers", async () => {
  await fc.assert(
    fc.asyncProperty(steps, steps, steps, fc.boolean(), async (before, lost, after, restarts) => {
      const all = cluster([0, 0, 0]);
      await run(all, before);
      const backup = { records: structuredClone(all.hub.records), claims: structuredClone(all.hub.claims), cts: all.hub.cts };
      if (restarts) all.hub.runs = new Map([["r1", all.hub.cts], ["r2", Infinity]]);
      await run(all, lost);
      // Others write past what is lost.
      Object.assign(all.hub, backup, { cts: all.hub.cts + 1000, runs: new Map([["r1", backup.cts], ["r3", Infinity]]) });
      await run(all, after);
      await converged(all);
    }),
    runs(60),
  );
}, 3_600_000);

test("what a rollback lost comes back from its writer, whose cursor is of a lost run or of a lost end of one", async () => {
  for (const restarts of [true, false]) {
    const all = cluster([0, 0, 0]);
    const { hub } = all;
    const [writer, reader, quiet] = all.participants.map(({ device }) => device) as [SteppedDevice, SteppedDevice, SteppedDevice];
    await writer.db.todos.add({ id: "kept", title: "before" });
    await settle([writer, reader, quiet]);
    const backup = { records: structuredClone(hub.records), claims: structuredClone(hub.claims), cts: hub.cts };
    if (restarts) hub.runs = new Map([["r1", hub.cts], ["r2", Infinity]]);
    await writer.db.todos.add({ id: "lost", title: "x" });
    await writer.db.todos.update("kept", { title: "after" });
    await settle([writer, reader]);
    Object.assign(hub, backup, { cts: hub.cts + 1000, runs: new Map([["r1", backup.cts], ["r3", Infinity]]) });
    expect(hub.living("todos")).toEqual({ kept: { title: "before" } });
    await reader.settle();
    await converged(all);
    expect(hub.living("todos")).toEqual({ kept: { title: "after" }, lost: { title: "x" } });
    expect(hub.epoch).toBe("e1");
  }
});

// Two devices that each held one of two records showed different rows for ever.
test("where a unique index has room for one record, all devices show the same one", async () => {
  await fc.assert(
    fc.asyncProperty(steps, skews, async (schedule, ahead) => {
      const all = cluster(ahead, "id, &title");
      await run(all, schedule);
      const devices = all.participants.map(({ device }) => device);
      await settle(devices);
      const [first, ...others] = await Promise.all(devices.map(({ db }) => living(db.lists)));
      for (const rows of others) expect(rows).toEqual(first);
      for (const device of devices) device.db.close();
    }),
    runs(200),
  );
}, 3_600_000);

test("a page with more records than Dexie forgives awaits, before and after a restore", async () => {
  const all = cluster([0, 0]);
  all.hub.pageLimit = 5000;
  const [a, b] = all.participants.map(({ device }) => device) as [SteppedDevice, SteppedDevice];
  await a.settle();
  const empty = { records: new Map(), cts: all.hub.cts };
  await a.db.todos.bulkAdd(Array.from({ length: 300 }, (_, i) => ({ id: String(i), title: i })));
  await a.settle();
  await b.settle();
  Object.assign(all.hub, empty, { epoch: "e2" });
  await converged(all);
  expect(Object.keys(all.hub.living("todos"))).toHaveLength(300);
});

// Offline; clock +60 s, an insert; clock +2 h, an edit; online: the hub held the older, the device the newer, for ever.
test("two offline edits of one device before and after its clock was set forward", async () => {
  const all = cluster([0]);
  const [{ device, clock }] = all.participants as [Participant];
  await device.settle();
  clock.aheadMs = 60_000;
  await device.db.todos.add({ id: "a", title: "old" });
  clock.aheadMs = 7_200_000;
  await device.db.todos.update("a", { title: "NEW" });
  await device.push();
  expect(all.hub.living("todos")).toEqual({ a: { title: "NEW" } });
  await converged(all);
});

// A row that was re-dated after it had been sent came a second time as another write.
test("what is sent again after a lost answer and a correction of the clock is the same write", async () => {
  const all = cluster([7_200_000]);
  const [{ device }] = all.participants as [Participant];
  await device.db.todos.add({ id: "a", title: "x" });
  await device.pull();
  device.net.lost = "answer";
  await device.push().catch(() => {});
  device.net.lost = "nothing";
  const { cts } = all.hub;
  all.ms += 60_000;
  await device.pull();
  await device.push();
  expect(all.hub.cts).toBe(cts);
  await converged(all);
});
