/** Random schedules of what can happen to devices. */

import fc from "fast-check";
import type { Stepped, Todo } from "./device.ts";

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

type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

/** What happens to which of three devices. */
export const steps = fc.array(fc.record({ device: fc.nat(2), what: act }), { minLength: 1, maxLength: 40 });

/** Lets one thing happen. */
export async function play(device: Stepped, what: Act, clock: { ms: number }, net: { lost: string }) {
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

/** A network that loses what the next request asks it to lose. */
export function lossy(fetcher: typeof fetch, net: { lost: string }): typeof fetch {
  return async (input, init) => {
    if (net.lost === "request") throw new TypeError("lost");
    const answer = await fetcher(input, init);
    if (net.lost === "answer") throw new TypeError("lost");
    return answer;
  };
}

/** How far the clocks of the three devices are ahead, milliseconds. */
export const skews = fc.constantFrom([0, 0, 0], [0, 3_600_000, -3_600_000], [0, 200_000, 31_536_000_000]);
