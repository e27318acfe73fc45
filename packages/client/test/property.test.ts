// Verifies: REC-64
import fc from "fast-check";
import { expect, test } from "vitest";
import { Stepped, living } from "./device.ts";
import { ModelHub } from "./hub.ts";
import { lossy, play, skews, steps } from "./script.ts";

type World = { hub: ModelHub; devices: Stepped[]; clock: { ms: number }; nets: { lost: string }[] };

/** Devices whose clocks differ by `ahead`, milliseconds. */
function world(ahead: readonly number[]): World {
  const hub = new ModelHub();
  const clock = { ms: Date.parse("2026-01-01T10:00:00Z") };
  hub.now = () => clock.ms;
  hub.pageLimit = 2;
  const nets = ahead.map(() => ({ lost: "nothing" }));
  const devices = ahead.map((skew, i) => {
    return new Stepped(() => clock.ms + skew, lossy(hub.fetch, nets[i]!));
  });
  return { hub, devices, clock, nets };
}

async function converged({ hub, devices, clock }: World): Promise<void> {
  const fresh = new Stepped(() => clock.ms, hub.fetch);
  for (let round = 0; round < 2; round++) for (const device of devices) await device.settle();
  await fresh.settle();
  for (const name of ["todos", "lists"] as const) {
    for (const device of [...devices, fresh]) expect(await living(device.db[name])).toEqual(hub.living(name));
  }
  for (const device of [...devices, fresh]) device.db.close();
}

const runs = Number(process.env.FERRY_RUNS ?? 60);
const seed = process.env.FERRY_SEED ? { seed: Number(process.env.FERRY_SEED) } : {};

test("any interleaving of writes, pulls, pushes and losses ends equal everywhere", async () => {
  await fc.assert(
    fc.asyncProperty(steps, skews, async (script, ahead) => {
      const all = world(ahead);
      for (const { device, what } of script) await play(all.devices[device]!, what, all.clock, all.nets[device]!);
      await converged(all);
    }),
    { numRuns: runs, ...seed },
  );
}, 300_000);

test("a restore that lost acknowledged writes gets them back from their writers", async () => {
  await fc.assert(
    fc.asyncProperty(steps, steps, steps, async (before, lost, after) => {
      const all = world([0, 0, 0]);
      const run = async (script: typeof before) => {
        for (const { device, what } of script) await play(all.devices[device]!, what, all.clock, all.nets[device]!);
      };
      await run(before);
      const backup = { records: structuredClone(all.hub.records), cts: all.hub.cts };
      await run(lost);
      Object.assign(all.hub, backup, { epoch: "e2" });
      await run(after);
      await converged(all);
    }),
    { numRuns: runs, ...seed },
  );
}, 300_000);

test("a page with more records than Dexie forgives awaits, before and after a restore", async () => {
  const all = world([0, 0]);
  all.hub.pageLimit = 5000;
  const [a, b] = all.devices as [Stepped, Stepped];
  await a.settle();
  const empty = { records: new Map(), cts: all.hub.cts };
  await a.db.todos.bulkAdd(Array.from({ length: 300 }, (_, i) => ({ id: String(i), title: i })));
  await a.settle();
  await b.settle();
  Object.assign(all.hub, empty, { epoch: "e2" });
  await converged(all);
  expect(Object.keys(all.hub.living("todos"))).toHaveLength(300);
});
