// Whatever happens on the way, in the end every page shows what the hub has, and each write was done once.
import { expect, test } from "vitest";
import type { FerryClient, QueryResult } from "../../src/functions.ts";
import { Hub, until } from "./hub.ts";
import { page, type Api, type Todo } from "./page.ts";
import { Proxy } from "./proxy.ts";

const PAGES = 3;
const STEPS = 150;

/** Numbers that the seed decides (mulberry32). */
function numbers(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
  };
}

/** A page behind a network of its own. */
class Page {
  readonly shown = new Map<string, QueryResult<unknown>>();
  readonly ends: (() => void)[] = [];
  /** Titles that showed twice at once. */
  readonly doubles: string[] = [];
  constructor(readonly client: FerryClient<Api>, readonly proxy: Proxy) {}

  watch(fn: "listTodos" | "countTodos" | "large"): void {
    const args = fn === "large" ? { bytes: 300_000 } : {};
    this.ends.push(this.client.subscribe(fn, args as never, (result: QueryResult<unknown>) => {
      this.shown.set(fn, result);
      if (fn !== "listTodos") return;
      const titles = ((result.data ?? []) as Todo[]).map(({ title }) => title);
      this.doubles.push(...titles.filter((title, at) => titles.indexOf(title) !== at));
    }));
  }
}

// Verifies: FUN-74, FUN-75, FUN-76, FUN-18
test("pages converge through cuts, lost answers, restarts and optimistic writes", async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  const below = numbers(seed);
  const hub = await Hub.start();
  const pages: Page[] = [];
  const writes: Promise<unknown>[] = [];
  const titles: string[] = [];
  try {
    for (let at = 0; at < PAGES; at++) {
      const proxy = await Proxy.start(hub.port);
      pages.push(new Page(page({ url: proxy.url, key: hub.key }), proxy));
      for (const fn of ["listTodos", "countTodos", "large"] as const) pages[at]!.watch(fn);
    }
    const steps = {
      async write({ client }: Page) {
        const title = `t${titles.length}`;
        titles.push(title);
        writes.push(client.mutate("addTodo", { title }, {
          idempotencyKey: true,
          optimistic: (cache) => cache.update("listTodos", {}, (all) => [...all, { id: -titles.length, title, owner: null }]),
        }).catch(() => {}));
      },
      async guess({ client }: Page) {
        const optimistic: NonNullable<Parameters<typeof client.mutate>[2]>["optimistic"] = (cache) => cache.update("countTodos", {}, (count) => count + 1000);
        writes.push(client.mutate(below(2) ? "touch" : "fail", { message: "CONFLICT: guess" } as never, { optimistic } as never).catch(() => {}));
      },
      async cut({ proxy }: Page) {
        proxy.cut();
      },
      async lose({ proxy }: Page) {
        proxy.dropAnswers = 1;
      },
      async remount(page: Page) {
        page.ends.shift()?.();
        page.watch((["listTodos", "countTodos", "large"] as const)[below(3)]!);
      },
      async pause() {
        await new Promise((resolve) => setTimeout(resolve, below(60)));
      },
    };
    const names = ["write", "write", "write", "guess", "cut", "lose", "remount", "pause", "pause"] as const;
    for (let step = 0; step < STEPS; step++) {
      await steps[names[below(names.length)]!](pages[below(PAGES)]!);
      if (step === STEPS / 2) {
        await hub.kill();
        await hub.start();
      }
    }
    await Promise.all(writes);
    for (const each of pages) for (const fn of ["listTodos", "countTodos", "large"] as const) each.watch(fn);
    const fresh = page({ url: hub.url, key: hub.key });
    const all = await fresh.query("listTodos");
    const expected = JSON.stringify([all, all.length, all.length]);
    await until(`all pages show the hub's state (SEED=${seed})`, () =>
      pages.every(({ shown }) => JSON.stringify([shown.get("listTodos")!.data, shown.get("countTodos")!.data, (shown.get("large")!.data as { count?: number })?.count]) === expected
        && [...shown.values()].every(({ isStale, error }) => !isStale && !error)));
    expect(new Set(all.map(({ title }) => title)).size, `each write once (SEED=${seed})`).toBe(all.length);
    expect(all.length).toBeGreaterThan(10);
    console.log(`seed ${seed}: ${titles.length} writes, ${all.length} committed, ${pages.reduce((sum, { doubles }) => sum + doubles.length, 0)} shown twice for a moment`);
  } finally {
    for (const { client, proxy } of pages) {
      client.close();
      await proxy.end();
    }
    await hub.end();
  }
}, 120_000);
