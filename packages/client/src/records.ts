/** The public face: attach a Dexie database to a hub. */

import type { Dexie } from "dexie";
import { forgetAll, park, restart, type Report } from "./apply.ts";
import { attach, prepare } from "./attach.ts";
import { Http, type GetToken } from "./http.ts";
import type { Kinds } from "./json.ts";
import { Link, type Trouble } from "./link.ts";
import { StatusStore } from "./status.ts";
import { OUTBOX, REFUSED, Store, type Refused, type State } from "./store.ts";
import { lead, type Message } from "./tabs.ts";
import type { Conflict } from "./wire.ts";
import type { Held } from "./working-set.ts";

export type RecordsOptions = {
  /** Where the hub is: `https://hub.example.com`. A path is kept. */
  url: string;
  /** The application's name at the hub. */
  app: string;
  /** A publishable API key of the database (`fy_pk_…`). Records are the user's whom `getToken` names, without one the key's. */
  key?: string;
  /** Id or name of the hub's database; default: the credential's. */
  database?: string;
  /** The credential; called again with one that the hub has refused. Without it: none (a hub in `--dev`). */
  getToken?: GetToken;
  /** The tables to sync; default: all. */
  tables?: string[];
  /** Fields that hold dates or bytes: `{ photos: { taken: "date", data: "bytes" } }`. */
  types?: Record<string, Kinds>;
  /** A write of this device lost against one that it had not seen, or a delete of it beat a later edit of another's. */
  onConflict?: (conflict: Conflict) => void;
  /** The hub refused a write; it is kept aside. */
  onRejected?: (rejected: Refused) => void;
  /**
   * A record has no row on this device, since a unique index (`index`) has room for another one (`other`) alone, or
   * cannot travel; or, without a record, syncing failed.
   */
  onError?: (error: unknown, record?: Omit<Held, "error">) => void;
  /** Where streams do not get through: how often to ask, milliseconds. */
  pollMs?: number;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
  /** In place of the system's clock, milliseconds since 1970. */
  now?: () => number;
};

const POLL_MS = 15_000;
/** How long `logout` waits for what is to be sent. */
const LOGOUT_MS = 10_000;
const LOGOUT_STEP_MS = 50;

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
      this.#askLeader({ type: "kick" });
    };
    this.#store = new Store(db, tables, options.now ?? Date.now, onCaptured, options.types);
    attach(this.#store);
    this.#name = `ferry:${db.name}:${options.app}`;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#receive(data as Message);
    // Node would not exit while the channel is open.
    (this.#channel as { unref?: () => void }).unref?.();
    this.initialSync = new Promise((resolve) => {
      this.status.subscribe(({ ready }) => ready && resolve());
    });
    db.on(
      "ready",
      async (opened) => {
        const held = await prepare(this.#store, opened as Dexie);
        this.#report({ held, refused: [], conflicts: [] });
        queueMicrotask(() => void this.#start());
      },
      true,
    );
    if (!db.isOpen()) db.open().catch((error: unknown) => this.#fail(error));
  }

  /** Tries at once, instead of when it is time. */
  syncNow(): void {
    this.#askLeader({ type: "wake" });
  }

  /** The writes that the hub has refused. The rows still show them. */
  rejected(): Promise<Refused[]> {
    return this.#store.db.table(REFUSED).toArray();
  }

  /**
   * Says what is to become of the rows of this device when another user is logged in (`OWNER_CHANGED`): they become
   * theirs, or are deleted here, together with what was never sent.
   */
  async switchOwner(rows: "keep" | "discard"): Promise<void> {
    await this.#store.write((state) => forgetAll(this.#store, state, rows === "keep"));
    const held = await prepare(this.#store, this.#store.db);
    this.#report({ held, refused: [], conflicts: [] });
    this.#askLeader({ type: "switch" });
    await this.#refresh();
  }

  /**
   * Sends what waits, then ends syncing in all tabs until the page is loaded again. The rows are deleted from this
   * device, or put away until the same user is back.
   * @throws Error when something could not be sent; then nothing has changed.
   */
  async logout(rows: "keep" | "discard" = "discard"): Promise<void> {
    this.syncNow();
    for (let ms = 0; ms < LOGOUT_MS && (await this.#store.pending()); ms += LOGOUT_STEP_MS) {
      await new Promise((resolve) => setTimeout(resolve, LOGOUT_STEP_MS));
    }
    await this.#store.write(async (state) => {
      const waiting = await this.#store.pending();
      if (waiting) throw new Error(`ferry: ${waiting} writes are not sent; log out when the hub answers, or drop them: switchOwner("discard")`);
      await (rows === "keep" ? park(this.#store, state, true) : forgetAll(this.#store, state, false));
    });
    this.#broadcast({ type: "logout" });
    this.#logout();
  }

  /** Sends a refused write again: after the user has been given the right, say. */
  async retry(n: number): Promise<void> {
    await this.#takeRefused(n, ({ table, id, op, fields }, { cursor }) =>
      this.#store.db.table(OUTBOX).add({ table, id, op, fields, seen: cursor }),
    );
    this.#store.onCaptured();
  }

  /** Gives a refused write up: the hub's state takes its place. */
  async discard(n: number): Promise<void> {
    await this.#takeRefused(n, async (_, state) => restart(state, "horizon"));
    this.#askLeader({ type: "restart" });
  }

  #takeRefused(n: number, work: (row: Refused, state: State) => PromiseLike<unknown>): Promise<unknown> {
    return this.#store.write(async (state) => {
      const row: Refused | undefined = await this.#store.db.table(REFUSED).get(n);
      if (!row) throw new Error(`ferry: no refused write has number ${n}; see rejected()`);
      await this.#store.db.table(REFUSED).delete(n);
      await work(row, state);
    });
  }

  /** Ends syncing; the database stays open. */
  close(): void {
    this.#end.abort();
    this.#channel.close();
  }

  #logout(): void {
    this.close();
    this.status.set({ ...this.status.get(), state: "paused", reason: "logged_out", pending: 0 });
  }

  async #start(): Promise<void> {
    if (this.#started || this.#end.signal.aborted) return;
    this.#started = true;
    try {
      await this.#refresh();
      const { signal } = this.#end;
      globalThis.addEventListener?.("online", () => this.#link?.wake(), { signal });
      globalThis.addEventListener?.("offline", () => this.#link?.restart(), { signal });
      this.#broadcast({ type: "hello" });
      await lead(this.#name, signal, () => this.#lead());
      this.#started = false;
    } catch (error) {
      this.#fail(error);
    }
  }

  async #lead(): Promise<void> {
    const { url, app, key, database = "-", getToken = () => null, pollMs = POLL_MS, fetch = (input, init) => globalThis.fetch(input, init) } = this.#options;
    const path = `/v1/databases/${encodeURIComponent(database)}/records`;
    const report = async (report: Report) => {
      await this.#refresh();
      if (!Object.values(report).some(({ length }) => length)) return;
      this.#report(report);
      this.#broadcast({ type: "report", report });
    };
    const http = new Http(url.replace(/\/+$/, "") + path, getToken, fetch, key);
    this.#link = new Link({ store: this.#store, http, app, report }, pollMs, (trouble) => {
      this.#trouble = trouble;
      void this.#refresh().catch(() => {});
    });
    await this.#link.run(this.#end.signal);
    this.#link = undefined;
  }

  /** Asks the leader, which may be this tab. */
  #askLeader(message: Message): void {
    // In a task of its own, as for the other tabs: the caller may be about to begin a transaction, and Dexie would lose it.
    if (this.#link) setTimeout(() => this.#receive(message));
    else this.#broadcast(message);
  }

  #broadcast(message: Message): void {
    if (!this.#end.signal.aborted) this.#channel.postMessage(message);
  }

  #receive(message: Message): void {
    const link = this.#link;
    if (message.type === "report") return this.#report(message.report);
    if (message.type === "status") return void (link || this.status.set(message.status));
    if (message.type === "logout") return this.#logout();
    if (!link) return;
    if (message.type === "hello") return this.#broadcast({ type: "status", status: this.status.get() });
    // A tab of a newer version may say what this one does not know.
    link[message.type]?.();
    void this.#refresh().catch(() => {});
  }

  /** Reads the counts, and tells the other tabs if this one leads. */
  async #refresh(): Promise<void> {
    const [pending, state] = await Promise.all([this.#store.pending(), this.#store.state()]);
    const ready = state.pass > 1 || !state.resync;
    const connection = this.#link || !this.#started ? this.#trouble : this.status.get();
    const changed = this.status.set({ ...connection, pending, seq: state.seq, ready });
    if (changed && this.#link) this.#broadcast({ type: "status", status: this.status.get() });
  }

  #report({ held, refused, conflicts }: Report): void {
    const { onConflict, onRejected, onError } = this.#options;
    for (const conflict of conflicts) onConflict?.(conflict);
    for (const row of refused) onRejected?.(row);
    for (const { error, ...record } of held) onError?.(error, record);
  }

  #fail(error: unknown): void {
    if (this.#end.signal.aborted) return;
    const { message } = error as Error;
    this.status.set({ ...this.status.get(), state: "error", reason: "local", message });
    this.#options.onError?.(error);
  }
}
