/** Devices for tests: each with an IndexedDB of its own. */

import { Dexie, type Table } from "dexie";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import { attach, prepare } from "../src/attach.ts";
import { Http } from "../src/http.ts";
import { Link, type Report } from "../src/link.ts";
import { catchUp, resync } from "../src/pull.ts";
import { pushBatch } from "../src/push.ts";
import { ferryRecords, type RecordsOptions } from "../src/records.ts";
import { Store } from "../src/store.ts";
import type { ModelHub } from "./hub.ts";

export type Todo = { id: string; title?: unknown; done?: unknown; note?: unknown };

let count = 0;

export type Database = Dexie & { todos: Table<Todo, string>; lists: Table<Todo, string> };

/** An empty database with two tables, not yet opened. */
export function database(name = `app${count++}`, indexedDB = new IDBFactory()): Database {
  const db = new Dexie(name, { indexedDB, IDBKeyRange }) as Database;
  db.version(1).stores({ todos: "id", lists: "id" });
  return db;
}

/** A database attached as an application does it. */
export function attached(hub: ModelHub, options: Partial<RecordsOptions> = {}, db = database()) {
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

/** A device whose every step is made by the test, in place of the loops. */
export class Stepped {
  readonly db: Database;
  readonly store: Store;
  readonly link: Link;
  readonly reports: Report[] = [];

  constructor(now: () => number, fetcher: typeof fetch) {
    this.db = database();
    this.store = new Store(this.db, ["todos", "lists"], now, () => {});
    attach(this.store);
    this.db.on("ready", (opened) => prepare(this.store, opened as Dexie), true);
    this.link = new Link({
      store: this.store,
      http: new Http("http://hub.test", () => null, fetcher),
      app: "todo",
      path: "/v1/databases/-/records",
      pollMs: 10,
      onState: () => {},
      onReport: (report) => this.reports.push(report),
      refresh: async () => {},
    });
  }

  async pull(): Promise<void> {
    await this.db.open();
    await resync(this.link, never);
    if ((await catchUp(this.link, never)) === "resync") await resync(this.link, never);
  }

  async push(): Promise<boolean> {
    await this.db.open();
    return pushBatch(this.link, never);
  }

  /** Everything, until nothing is left to do. */
  async settle(): Promise<void> {
    do await this.pull();
    while ((await this.push()) || (await this.store.pending()) > 0);
    await this.pull();
  }
}
