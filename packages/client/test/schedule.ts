/** Random schedules of what can happen to devices. */

import fc from "fast-check";
import type { SteppedDevice, Todo } from "./device.ts";

const id = fc.constantFrom("a", "b", "c");
const value = fc.oneof(fc.constantFrom(null, 1, 2, "x"), fc.constantFrom({ n: 1 }, [1, "é"]));
const table = fc.constantFrom("todos" as const, "lists" as const);
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** By how much a device's clock is set forward or back. */
const jump = fc.oneof(
  fc.constantFrom(-365 * DAY_MS, -DAY_MS, -2 * HOUR_MS, -MINUTE_MS, MINUTE_MS, 4 * MINUTE_MS, 6 * MINUTE_MS, 2 * HOUR_MS, DAY_MS, 365 * DAY_MS),
  fc.integer({ min: -10 * MINUTE_MS, max: 10 * MINUTE_MS }),
);

/** What can happen to one device. */
const act = fc.oneof(
  { weight: 4, arbitrary: fc.record({ act: fc.constant("update" as const), table, id, field: fc.constantFrom("title", "done"), value }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("put" as const), table, id, title: value, note: value }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("delete" as const), table, id }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("clear" as const), table }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("pull" as const) }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("push" as const), lost: fc.constantFrom("nothing" as const, "request" as const, "answer" as const) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("begin" as const), what: fc.constantFrom("push" as const, "pull" as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("finish" as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("reload" as const) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("jump" as const), ms: jump }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("pass" as const), ms: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.constantFrom(6 * MINUTE_MS, DAY_MS)) }) },
);

type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

/** What happens to which device. */
export const steps = fc.array(fc.record({ device: fc.nat(2), what: act }), { minLength: 1, maxLength: 40 });

/** How far the clocks of one to three devices are ahead at the start, milliseconds. */
export const skews = fc.oneof(
  fc.constantFrom([0], [0, 0, 0], [0, HOUR_MS, -HOUR_MS], [0, 200_000, 365 * DAY_MS]),
  fc.array(jump, { minLength: 1, maxLength: 3 }),
);

/** A device, and how far its clock is ahead of the true time. */
export type Participant = { device: SteppedDevice; clock: { aheadMs: number } };

/** Lets one thing happen. `cluster.ms`: the true time. */
export async function perform(participants: Participant[], { device: which, what }: { device: number; what: Act }, cluster: { ms: number }) {
  const { device, clock } = participants[which % participants.length]!;
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
    case "pass":
      return void (cluster.ms += what.ms);
    case "jump":
      return void (clock.aheadMs += what.ms);
    case "pull":
      return device.pull();
    case "begin":
      return device.begin(what.what);
    case "finish":
      return device.finish();
    case "reload":
      return device.reload();
    case "push":
      device.net.lost = what.lost;
      await device.push().catch(() => {});
      device.net.lost = "nothing";
  }
}

/** Runs and seed of a property: SCHEDULE_RUNS, SCHEDULE_SEED. A failure prints the seed and the shrunk schedule. */
export function runs(usual: number): { numRuns: number; seed: number } {
  const { SCHEDULE_RUNS, SCHEDULE_SEED } = process.env;
  const seed = Number(SCHEDULE_SEED ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`seed ${seed}`);
  return { numRuns: Number(SCHEDULE_RUNS ?? usual), seed };
}

/** What happens, one thing after the other. */
export type Schedule = { device: number; what: Act }[];
