// Verifies: REC-64
import fc from "fast-check";
import { expect, test } from "vitest";
import { Stepped, living, type Todo } from "./device.ts";
import { ModelHub } from "./hub.ts";

const id = fc.constantFrom("a", "b", "c");
const value = fc.oneof(fc.constantFrom(null, 1, 2, "x"), fc.constantFrom({ n: 1 }, [1, "é"]));
const table = fc.constantFrom("todos" as const, "lists" as const);

/** What can happen to one device. */
const act = fc.oneof(
  { weight: 4, arbitrary: fc.record({ act: fc.constant("update" as const), table, id, field: fc.constantFrom("title", "done"), value }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("put" as const), table, id, title: value, note: value }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("delete" as const), table, id }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("clear" as const), table }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("pull" as const) }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("push" as const), lost: fc.constantFrom("nothing", "request", "answer") }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("tick" as const), ms: fc.integer({ min: 1, max: 5000 }) }) },
);

const steps = fc.array(fc.record({ device: fc.nat(2), what: act }), { minLength: 1, maxLength: 40 });

async function play(device: Stepped, what: typeof act extends fc.Arbitrary<infer T> ? T : never, clock: { ms: number }, net: { lost: string }) {
  const { db } = device;
  switch (what.act) {
    case "update":
      return db[what.table].update(what.id, { [what.field]: what.value });
    case "put":
      return db[what.table].put({ id: what.id, title: what.title, note: what.note } satisfies Todo);
    case "delete":
      return db[what.table].delete(what.id);
    case "clear":
      return db[what.table].clear();
    case "tick":
      return void (clock.ms += what.ms);
    case "pull":
      return device.pull();
    case "push":
      net.lost = what.lost;
      await device.push().catch(() => {});
      net.lost = "nothing";
  }
}

type World = { hub: ModelHub; devices: Stepped[]; clock: { ms: number }; nets: { lost: string }[] };

/** Devices whose clocks differ by `skews`, milliseconds. */
function world(skews: number[]): World {
  const hub = new ModelHub();
  const clock = { ms: Date.parse("2026-01-01T10:00:00Z") };
  hub.now = () => clock.ms;
  hub.pageLimit = 2;
  const nets = skews.map(() => ({ lost: "nothing" }));
  const devices = skews.map((skew, i) => {
    const net = nets[i]!;
    const lossy: typeof fetch = async (input, init) => {
      if (net.lost === "request") throw new TypeError("lost");
      const answer = await hub.fetch(input, init);
      if (net.lost === "answer") throw new TypeError("lost");
      return answer;
    };
    return new Stepped(hub, () => clock.ms + skew, lossy);
  });
  return { hub, devices, clock, nets };
}

async function converged({ hub, devices, clock }: World): Promise<void> {
  const fresh = new Stepped(hub, () => clock.ms);
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
    fc.asyncProperty(steps, fc.constantFrom([0, 0, 0], [0, 3_600_000, -3_600_000], [0, 200_000, 31_536_000_000]), async (script, [...skews]) => {
      const all = world(skews);
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
