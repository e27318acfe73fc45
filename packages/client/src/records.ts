/** The public face: attach a Dexie database to a hub. */

import type { Dexie } from "dexie";
import { restart } from "./apply.ts";
import { attach, prepare } from "./attach.ts";
import { Http, type GetToken } from "./http.ts";
import { Link, type Report, type Trouble } from "./link.ts";
import { StatusStore } from "./status.ts";
import { OUTBOX, REFUSED, Store, type Refused, type State } from "./store.ts";
import { lead, type Message } from "./tabs.ts";
import type { Conflict } from "./wire.ts";

export type RecordsOptions = {
  /** Where the hub is: `https://hub.example.com`. A path is kept. */
  url: string;
  /** The application's name at the hub. */
  app: string;
  /** Id or name of the hub's database; default: the credential's. */
  database?: string;
  /** The credential; called again with one that the hub has refused. Without it: none (a hub in `--dev`). */
  getToken?: GetToken;
  /** The tables to sync; default: all. */
  tables?: string[];
  /** A write of this device lost against one that it had not seen. */
  onConflict?: (conflict: Conflict) => void;
  /** The hub refused a write; it is kept aside. */
  onRejected?: (rejected: Refused) => void;
  /** A record of the hub could not be stored as a row (a unique index, say), or syncing failed for good. */
  onError?: (error: unknown, record?: { table: string; id: string }) => void;
  /** Where streams do not get through: how often to ask, milliseconds. */
  pollMs?: number;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
  /** In place of the system's clock, milliseconds since 1970. */
  now?: () => number;
};

const POLL_MS = 15_000;

/**
 * Keeps the tables of a Dexie database in sync with a hub. Call it after `db.version(…).stores(…)` and before the
 * database is used; then use Dexie as ever.
 */
export function ferryRecords(db: Dexie, options: RecordsOptions): FerryRecords {
  return new FerryRecords(db, options);
}

export class FerryRecords {
  /** The state of syncing. */
  readonly status = new StatusStore();
  /** Fulfilled once the hub's whole state has arrived for the first time, on this or an earlier run. */
  readonly initialSync: Promise<void>;
  readonly #store: Store;
  readonly #options: RecordsOptions;
  readonly #channel: BroadcastChannel;
  readonly #end = new AbortController();
  readonly #name: string;
  #link: Link | undefined;
  #trouble: Trouble = { state: "syncing" };
  #started = false;

  constructor(db: Dexie, options: RecordsOptions) {
    this.#options = options;
    const tables = options.tables ?? db.tables.map(({ name }) => name).filter((name) => !name.startsWith("_ferry_"));
    const onCaptured = () => {
      void this.#refresh().catch(() => {});
      this.#ask({ type: "kick" });
    };
    this.#store = new Store(db, tables, options.now ?? Date.now, onCaptured);
    attach(this.#store);
    this.#name = `ferry:${db.name}:${options.app}`;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#hear(data as Message);
    // Node would not exit while the channel is open.
    (this.#channel as { unref?: () => void }).unref?.();
    this.initialSync = new Promise((resolve) => {
      this.status.subscribe(({ ready }) => ready && resolve());
    });
    db.on(
      "ready",
      async (opened) => {
        await prepare(this.#store, opened as Dexie);
        queueMicrotask(() => void this.#start());
      },
      true,
    );
    if (!db.isOpen()) db.open().catch((error: unknown) => this.#fail(error));
  }

  /** Tries at once, instead of when it is time. */
  syncNow(): void {
    this.#ask({ type: "wake" });
  }

  /** The writes that the hub has refused. The rows still show them. */
  rejected(): Promise<Refused[]> {
    return this.#store.db.table(REFUSED).toArray();
  }

  /** Sends a refused write again: after the user has been given the right, say. */
  async retry(n: number): Promise<void> {
    await this.#decide(n, ({ table, id, op, fields }, { cursor }) =>
      this.#store.db.table(OUTBOX).add({ table, id, op, fields, seen: cursor }),
    );
    this.#store.onCaptured();
  }

  /** Gives a refused write up: the hub's state takes its place. */
  async discard(n: number): Promise<void> {
    await this.#decide(n, async (_, state) => restart(state, "horizon"));
    this.#ask({ type: "restart" });
  }

  #decide(n: number, work: (row: Refused, state: State) => PromiseLike<unknown>): Promise<unknown> {
    return this.#store.write(async (state) => {
      const row: Refused | undefined = await this.#store.db.table(REFUSED).get(n);
      await this.#store.db.table(REFUSED).delete(n);
      if (row) await work(row, state);
    });
  }

  /** Ends syncing; the database stays open. */
  close(): void {
    this.#end.abort();
    this.#channel.close();
  }

  async #start(): Promise<void> {
    if (this.#started || this.#end.signal.aborted) return;
    this.#started = true;
    try {
      await this.#refresh();
      const { signal } = this.#end;
      globalThis.addEventListener?.("online", () => this.#link?.wake(), { signal });
      globalThis.addEventListener?.("offline", () => this.#link?.restart(), { signal });
      this.#tell({ type: "hello" });
      await lead(this.#name, signal, () => this.#lead());
      this.#started = false;
    } catch (error) {
      this.#fail(error);
    }
  }

  async #lead(): Promise<void> {
    const { url, app, database = "-", getToken = () => null, pollMs = POLL_MS } = this.#options;
    const fetcher = this.#options.fetch ?? ((input, init) => fetch(input, init));
    this.#link = new Link({
      store: this.#store,
      http: new Http(url.replace(/\/+$/, ""), getToken, fetcher),
      app,
      path: `/v1/databases/${encodeURIComponent(database)}/records`,
      pollMs,
      onState: (trouble) => {
        this.#trouble = trouble;
        void this.#refresh().catch(() => {});
      },
      onReport: (report) => {
        if (!Object.values(report).some(({ length }) => length)) return;
        this.#report(report);
        this.#tell({ type: "report", report });
      },
      refresh: () => this.#refresh(),
    });
    await this.#link.run(this.#end.signal);
    this.#link = undefined;
  }

  /** Asks the leader, which may be this tab. */
  #ask(message: Message): void {
    if (this.#link) this.#hear(message);
    else this.#tell(message);
  }

  #tell(message: Message): void {
    if (!this.#end.signal.aborted) this.#channel.postMessage(message);
  }

  #hear(message: Message): void {
    const link = this.#link;
    if (message.type === "report") return this.#report(message.report);
    if (message.type === "status") return void (link || this.status.set(message.status));
    if (!link) return;
    if (message.type === "hello") return this.#tell({ type: "status", status: this.status.get() });
    link[message.type]();
    void this.#refresh().catch(() => {});
  }

  /** Reads the counts, and tells the other tabs if this one leads. */
  async #refresh(): Promise<void> {
    const [pending, state] = await Promise.all([this.#store.pending(), this.#store.state()]);
    const ready = state.pass > 1 || !state.resync;
    const connection = this.#link || !this.#started ? this.#trouble : this.status.get();
    const changed = this.status.set({ ...connection, pending, seq: state.seq, ready });
    if (changed && this.#link) this.#tell({ type: "status", status: this.status.get() });
  }

  #report({ held, refused, conflicts }: Report): void {
    const { onConflict, onRejected, onError } = this.#options;
    for (const conflict of conflicts) onConflict?.(conflict);
    for (const row of refused) onRejected?.(row);
    for (const { table, id, error } of held) onError?.(error, { table, id });
  }

  #fail(error: unknown): void {
    if (this.#end.signal.aborted) return;
    const { message } = error as Error;
    this.status.set({ ...this.status.get(), state: "error", reason: "local", message });
    this.#options.onError?.(error);
  }
}
