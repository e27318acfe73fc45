// Verifies: OPR-56
// The part of a long list that is in memory, without a browser: whoever scrolls anywhere finds the rows that belong there.

import { expect, test } from "vitest";
import { KEPT_MAX, RowWindow, type Pager } from "../src/ui/window.ts";

const PAGE = 100;
const { signal } = new AbortController();

/** A list of numbers in their order, and how often it was asked. */
function numbers(of: number[], readsBackwards: boolean): Pager<number, number> & { asked: number; of: number[] } {
  const list = { asked: 0, of };
  return Object.assign(list, {
    keyOf: (row: number) => row,
    after: async (key: number | undefined) => {
      list.asked += 1;
      const rest = list.of.filter((row) => row > (key ?? -Infinity));
      return { rows: rest.slice(0, PAGE), hasMore: rest.length > PAGE };
    },
    ...(readsBackwards && {
      before: async (key: number | undefined) => {
        list.asked += 1;
        const rest = list.of.filter((row) => row < (key ?? Infinity));
        return { rows: rest.slice(-PAGE), hasMore: rest.length > PAGE };
      },
    }),
  });
}

const upTo = (count: number, step = 10): number[] => Array.from({ length: count }, (_, at) => at * step);

async function look(window: RowWindow<number, number>, from: number, to = from + 40): Promise<void> {
  for (let steps = 0; await window.need(from, to, signal); steps += 1) {
    expect(window.rows.length).toBeLessThanOrEqual(KEPT_MAX);
    // The longest way is that back to the first row, page by page.
    expect(steps).toBeLessThan(300);
  }
}

test("rows that were passed are found again at their numbers, however far one jumps, and memory stays bounded", async () => {
  for (const readsBackwards of [true, false]) {
    const list = numbers(upTo(30_000), readsBackwards);
    const window = new RowWindow(list);
    let seed = 7;
    const random = (most: number) => (seed = (seed * 48_271) % 2_147_483_647) % most;
    for (let from = 0; from < 12_000; from += 37) await look(window, from);
    for (let round = 0; round < 400; round += 1) {
      const from = random(12_000);
      const before = list.asked;
      await look(window, from);
      expect(window.first <= from && window.end >= from + 40, `${from}: ${window.first} to ${window.end}`).toBe(true);
      expect(window.rows.map((row) => row / 10)).toEqual(Array.from(window.rows, (_, at) => window.first + at));
      // A place nearby is remembered: what lies between is not read.
      expect(list.asked - before).toBeLessThanOrEqual(6);
    }
    expect(window.total).toBeUndefined();
    await look(window, 0);
    expect([window.isStart, window.rows[0]]).toEqual([true, 0]);
  }
});

test("from the last row on backwards, until the first is there and all are numbered from it", async () => {
  const window = new RowWindow(numbers(upTo(2345), true));
  await window.begin("last", signal);
  expect([window.isExact, window.isEnd, window.rows.at(-1)]).toEqual([false, true, 23_440]);
  for (let from = 0; !window.isStart; from -= 30) {
    await look(window, from);
    if (!window.isStart) expect(window.rows[0]).toBe((window.first + 2245) * 10);
  }
  // Where it stood is known to who shows it.
  expect(window.takeMoved()).toBe(-2245);
  expect([window.first, window.rows[0], window.isExact, window.total]).toEqual([0, 0, true, 2345]);
  await look(window, 2300);
  expect(window.rows.at(-1)).toBe(23_440);
});

test("read again, the row that is looked at keeps its place, also where others come, go, or it is gone itself", async () => {
  const list = numbers(upTo(500), true);
  const window = new RowWindow(list);
  for (let from = 0; from <= 200; from += 50) await look(window, from);
  const at = (row: number) => window.first + window.rows.indexOf(row);
  list.of = list.of.flatMap((row) => (row === 1500 ? [1495, 1500] : row === 2000 ? [] : [row]));
  await window.refresh(170, signal);
  // In the middle nothing tells how many are before: the numbers stay.
  expect([at(1700), window.rows.includes(1495), at(1990)]).toEqual([170, true, 199]);
  await look(window, 190);
  expect([window.rows.includes(2000), at(2010)]).toEqual([false, 200]);

  await look(window, 0);
  window.takeMoved();
  list.of = [-5, ...list.of];
  await window.refresh(0, signal);
  // A new first row has the number 0, and it is told by how much the others have moved.
  expect([window.first, window.rows[0], at(0), window.takeMoved()]).toEqual([0, -5, 1, -1]);
  list.of = list.of.slice(2);
  await window.refresh(1, signal);
  expect([window.first, window.rows[0], window.takeMoved()]).toEqual([0, 10, 2]);
  // More have come than a page holds, while somebody is at these: they stay, and those before them are found by who scrolls there.
  list.of = [...upTo(300).map((row) => row - 5000), ...list.of];
  await window.refresh(0, signal, true);
  expect([window.rows[0], window.first, window.isStart, window.isExact]).toEqual([10, 0, false, false]);
  for (let from = 0; !window.isStart; from -= 30) await look(window, from);
  expect([window.takeMoved(), window.rows[0], at(10)]).toEqual([-300, -5000, 300]);
  await look(window, 0);
  list.of = [...upTo(300).map((row) => row - 9000), ...list.of];
  await window.refresh(0, signal, false);
  expect([window.first, window.rows[0], window.isStart]).toEqual([0, -9000, true]);
  list.of = [];
  await window.refresh(0, signal);
  expect([window.rows, window.total]).toEqual([[], 0]);
  list.of = [1];
  await window.refresh(0, signal);
  expect([window.rows, window.total]).toEqual([[1], 1]);
});

/** Rows that are gone, or have come, around row 1500 of 5,000. */
const CHANGES: Record<string, (of: number[]) => number[]> = {
  "20 gone": (of) => of.filter((_, at) => at < 1500 || at >= 1520),
  "one in three gone": (of) => of.filter((_, at) => at < 1000 || at >= 2000 || at % 3 > 0),
  "all before it gone": (of) => of.slice(1600),
  "30 come": (of) => of.flatMap((row, at) => (at === 1500 ? [...Array.from({ length: 30 }, (_, less) => row - 9 + less / 10), row] : [row])),
};

test("who scrolls back over rows that have gone or come meets each row once, and their numbers follow", async () => {
  for (const readsBackwards of [false, true]) {
    for (const [name, change] of Object.entries(CHANGES)) {
      const list = numbers(upTo(5000), readsBackwards);
      const window = new RowWindow(list);
      let from = 0;
      for (; from < 3000; from += 30) await look(window, from);
      list.of = change(list.of);
      let before = list.asked;
      for (let turn = 0; !window.isStart || from > 0; turn += 1) {
        expect(turn, `${name}: the first row is found`).toBeLessThan(250);
        from = Math.max(window.isExact ? 0 : -Infinity, from - 30);
        await look(window, from);
        const place = list.of.indexOf(window.rows[0]!);
        expect(window.rows, name).toEqual(list.of.slice(place, place + window.rows.length));
        // What was in sight stays there: who shows it follows the numbers.
        from -= window.takeMoved();
        await look(window, Math.max(window.isExact ? 0 : -Infinity, from));
        expect(list.asked - before, `${name}, at ${from}`).toBeLessThan(8);
        before = list.asked;
      }
      expect([window.isStart, window.first, window.rows[0]], name).toEqual([true, 0, list.of[0]]);
      for (; from < list.of.length; from += 30) {
        await look(window, from);
        expect(window.rows[0], `${name}, forwards at ${from}`).toBe(list.of[window.first]);
      }
      expect(window.total, name).toBe(list.of.length);
    }
  }
});

test("a place behind which all is gone leads to the last rows there are", async () => {
  for (const readsBackwards of [true, false]) {
    const list = numbers(upTo(5000), readsBackwards);
    const window = new RowWindow(list);
    for (let from = 0; from < 3000; from += 30) await look(window, from);
    await look(window, 0);
    list.of = list.of.slice(0, 1200);
    const before = list.asked;
    await look(window, 2500);
    expect([window.isEnd, window.rows.at(-1)]).toEqual([true, 11_990]);
    expect(list.asked - before).toBeLessThan(15);
    // And from there on back.
    for (let from = window.end; !window.isStart || from > 0; from -= 30) await look(window, Math.max(window.isExact ? 0 : -Infinity, from));
    window.takeMoved();
    await look(window, 0);
    expect([window.first, window.rows[0]]).toEqual([0, 0]);
  }
});

test("a list that says there is more, and gives nothing, is not asked again and again", async () => {
  const list = numbers(upTo(200), true);
  const window = new RowWindow(list);
  await look(window, 50);
  list.after = async () => ((list.asked += 1), { rows: [], hasMore: true });
  const before = list.asked;
  await look(window, 150);
  expect([list.asked - before, window.rows.length]).toEqual([1, 100]);
});
