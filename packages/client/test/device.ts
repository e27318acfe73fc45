/** Devices for tests: each with an IndexedDB of its own. */

import { Dexie, type Table } from "dexie";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import type { Report } from "../src/apply.ts";
import { attach, prepare } from "../src/attach.ts";
import { Http } from "../src/http.ts";
import type { SyncContext } from "../src/context.ts";
import { Link } from "../src/link.ts";
import { catchUp } from "../src/pull.ts";
import { ferryRecords, type RecordsOptions } from "../src/records.ts";
import { Store } from "../src/store.ts";
import type { ModelHub } from "./hub.ts";

export type Todo = { id: string; title?: unknown; done?: unknown; note?: unknown };

let count = 0;

export type Database = Dexie & { todos: Table<Todo, string>; lists: Table<Todo, string> };

/** An empty database with two tables, not yet opened. */
export function database(name = `app${count++}`, indexedDB = new IDBFactory(), lists = "id"): Database {
  const db = new Dexie(name, { indexedDB, IDBKeyRange }) as Database;
  db.version(1).stores({ todos: "id", lists });
  return db;
}

/** A database attached as an application does it. */
export function attached(hub: Pick<ModelHub, "fetch">, options: Partial<RecordsOptions> = {}, db = database()) {
  const sync = ferryRecords(db, { url: "http://hub.test", app: "todo", fetch: hub.fetch, ...options });
  return { db, sync };
}

/** Rows of a table by id, without nulls, as `ModelHub.living` gives them. */
export async function living(table: Table<Todo, string>): Promise<Record<string, Record<string, unknown>>> {
  const rows: Record<string, Record<string, unknown>> = {};
  for (const { id, ...row } of await table.toArray()) {
    rows[id] = Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null && value !== undefined));
  }
  return rows;
}

const never = new AbortController().signal;

/** What the network does to the next request of a device. */
export type Net = { lost: "nothing" | "request" | "answer"; held?: { until: Promise<void>; taken: () => void } };

/** A network that loses or holds back what the next request asks it to. An answer is held back after the hub has acted. */
export function lossy(fetcher: typeof fetch, net: Net): typeof fetch {
  return async (input, init) => {
    const { lost, held } = net;
    delete net.held;
    if (lost === "request") throw new TypeError("lost");
    const answer = await fetcher(input, init);
    held?.taken();
    await held?.until;
    if (lost === "answer" || init?.signal?.aborted) throw new TypeError("lost");
    return answer;
  };
}

/** A device whose every step is made by the test, in place of the loops. */
export class SteppedDevice {
  db!: Database;
  store!: Store;
  readonly reports: Report[] = [];
  readonly net: Net = { lost: "nothing" };
  readonly #indexedDB = new IDBFactory();
  readonly #name = `app${count++}`;
  #link!: Link;
  #context!: SyncContext;
  #page = new AbortController();
  /** A request whose answer is still to come. */
  #inFlight: { release: () => void; done: Promise<unknown> } | undefined;

  constructor(
    readonly now: () => number,
    readonly fetcher: typeof fetch,
    readonly lists?: string,
  ) {
    this.#load();
  }

  #load(): void {
    this.db = database(this.#name, this.#indexedDB, this.lists);
    const store = new Store(this.db, ["todos", "lists"], this.now, () => {});
    this.store = store;
    attach(store);
    this.db.on("ready", (opened) => prepare(store, opened as Dexie), true);
    const http = new Http("http://hub.test/v1/databases/-/records", () => null, lossy(this.fetcher, this.net));
    this.#context = { store, http, app: "todo", report: async (report) => void this.reports.push(report) };
    this.#page = new AbortController();
    this.#link = new Link(this.#context, 10, () => {});
  }

  /** The page is closed, in the middle of whatever it does, and opened again. */
  async reload(): Promise<void> {
    this.#page.abort();
    await this.finish();
    this.db.close();
    this.#load();
  }

  async pull(): Promise<void> {
    await this.db.open();
    // Resyncs and pushes take turns.
    if ((await this.store.state()).resync) await this.finish();
    await this.#link.resync(this.#page.signal);
    if ((await catchUp(this.#context, this.#page.signal)) === "resync") await this.finish().then(() => this.#link.resync(never));
  }

  async push(): Promise<boolean> {
    await this.db.open();
    await this.finish();
    return this.#link.push(this.#page.signal);
  }

  /** Begins to push or pull; the answer arrives with `finish`, and other things happen meanwhile. */
  async begin(what: "push" | "pull"): Promise<void> {
    await this.finish();
    await this.db.open();
    const { resync } = await this.store.state();
    let release = () => {};
    let taken = () => {};
    const until = new Promise<void>((resolve) => (release = resolve));
    const sent = new Promise<void>((resolve) => (taken = resolve));
    this.net.held = { until, taken };
    const { signal } = this.#page;
    const done: Promise<unknown> = what === "push" ? this.#link.push(signal) : resync ? this.#link.resync(signal) : catchUp(this.#context, signal);
    this.#inFlight = { release, done: done.catch(() => {}) };
    // There may be nothing to ask.
    await Promise.race([sent, this.#inFlight.done]);
    delete this.net.held;
  }

  async finish(): Promise<void> {
    const request = this.#inFlight;
    this.#inFlight = undefined;
    request?.release();
    await request?.done;
  }

  /** Everything, until nothing is left to do. */
  async settle(): Promise<void> {
    this.net.lost = "nothing";
    await this.finish();
    do await this.pull();
    while ((await this.push()) || (await this.store.pending()) > 0);
    await this.pull();
  }
}

/** A Dexie whose databases no other one sees. */
export const strict = (stores: Record<string, string>, name = `app${count++}`, indexedDB = new IDBFactory()) => {
  const db = new Dexie(name, { indexedDB, IDBKeyRange });
  db.version(1).stores(stores);
  return db as Database;
};
