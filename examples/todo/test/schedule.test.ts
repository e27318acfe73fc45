// Verifies: REC-04, REC-64, REC-66
// Random schedules of one to three devices against the binary: losses, late answers, clocks that are wrong and jump,
// pages cut at two records.

import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SteppedDevice, living } from "../../../packages/client/test/device.ts";
import { perform, runs, skews, steps } from "../../../packages/client/test/schedule.ts";
import { recordsAreServed, realHub, type Hub } from "./hub.ts";

let hub: Hub;
let app = 0;

beforeAll(async () => void (hub = await realHub()));
afterAll(() => hub?.end());

/** The binary, asked for an app that no other schedule uses. */
function fetcher(name: string): typeof fetch {
  return async (input, init) => {
    const url = String(input).replace("http://hub.test", hub.url).replace("app=todo", `app=${name}`).replace(/limit=\d+/, "limit=2");
    const body = init?.body ? String(init.body).replace('"app":"todo"', `"app":"${name}"`) : null;
    return fetch(url, { ...init, body });
  };
}

test.runIf(recordsAreServed)("every schedule ends equal on all devices and on a fresh one", async () => {
  await fc.assert(
    fc.asyncProperty(steps, skews, async (schedule, ahead) => {
      const through = fetcher(`app${app++}`);
      const participants = ahead.map((aheadMs) => {
        const clock = { aheadMs };
        return { clock, device: new SteppedDevice(() => Date.now() + clock.aheadMs, through) };
      });
      const devices = participants.map(({ device }) => device);
      for (const step of schedule) await perform(participants, step, { ms: 0 });
      for (let round = 0; round < 2; round++) for (const device of devices) await device.settle();
      const fresh = new SteppedDevice(Date.now, through);
      await fresh.settle();
      for (const name of ["todos", "lists"] as const) {
        const wanted = await living(fresh.db[name]);
        for (const device of devices) expect(await living(device.db[name])).toEqual(wanted);
      }
      for (const device of [...devices, fresh]) {
        expect(device.reports.flatMap(({ refused }) => refused)).toEqual([]);
        device.db.close();
      }
    }),
    runs(60),
  );
}, 300_000);
