// Verifies: OPR-58
// Numbers of the hub as plots, without a browser.

import { expect, test } from "vitest";

// The page's own modules find where they stand by the address bar.
Object.assign(globalThis, { location: { origin: "http://hub", pathname: "/_/" }, addEventListener: () => undefined });
const { rates } = await import("../src/pages/hub.tsx");
const { nearest } = await import("../src/ui/plot.tsx");

test("a counter is drawn as how fast it grew, and nothing is told of a start", () => {
  const points = [[0, 10], [10, 30], [20, 5], [30, 5], [30, 9]].map(([at, value]) => ({ at: at!, value: value! }));
  expect(rates(points)).toEqual([{ at: 10, value: 2 }, { at: 30, value: 0 }]);
});

test("a moment has the value that is nearest, and none where nothing is known", () => {
  const points = [0, 10, 20, 500].map((at) => ({ at, value: at * 2 }));
  for (const [moment, at] of [[0, 0], [4, 0], [6, 10], [45, 20], [480, 500], [900, undefined], [200, undefined]] as const) {
    expect(nearest(points, moment, 30)?.at, String(moment)).toBe(at);
  }
  expect(nearest([], 5, 30)).toBeUndefined();
});
