/** The results that the page shows: who wants them, what the hub said last, and which connection keeps them fresh. */

import { Connection, type Frame, type Wire } from "./connection.ts";
import { FerryError } from "./error.ts";
import { backoffMs } from "./http.ts";
import { Overlays, type Overlay } from "./overlays.ts";
import type { StatusStore } from "./status.ts";

/** What nobody shows any more is kept so long, milliseconds: until a page has changed its view. */
const LINGER_MS = 2_000;
/** What was asked for in advance is kept so long, milliseconds: a component may wait for several results, one after the other. */
const READY_LINGER_MS = 30_000;
/** A result waits so long for the answer of a mutation that may be in it, milliseconds: sent together, they come by two ways. */
const HOLD_MS = 1_000;
/** A mutation's result is asked for if it did not come by itself within this time, milliseconds: it may be the same as before. */
const CONFIRM_MS = 150;

/** Largest frame that the hub takes, bytes; a larger one ends the socket for all. */
const FRAME_MAX_BYTES = 64 << 10;
const TOO_MANY = "ferry: the page shows more queries than the hub keeps fresh for one session; show fewer at once, or one query for several";

/** A query's result, as far as it is known. */
export interface QueryResult<T = unknown> {
  /** The newest result, under optimistic updates; undefined as long as there is none, and where the function gives none. */
  readonly data: T | undefined;
  /** Why there is no newer result. `data` stays what it was. */
  readonly error: FerryError | undefined;
  /** There is neither a result nor an error yet. */
  readonly isLoading: boolean;
  /** The hub may have a newer result: the connection is lost, or the last run failed. */
  readonly isStale: boolean;
}

/** Nothing is known yet. */
export const LOADING: QueryResult<never> = { data: undefined, error: undefined, isLoading: true, isStale: true };

type Result = { seq: number; hash: string; same?: boolean; data?: unknown };

/** A query that the page shows. */
type Entry = {
  /** Its name on the wire. */
  readonly id: string;
  readonly key: string;
  readonly fn: string;
  readonly args: string;
  readonly listeners: Set<() => void>;
  /** The hub's result without what is laid over it; none without a hash. */
  base: unknown;
  hash: string | undefined;
  seq: number;
  error: FerryError | undefined;
  isFresh: boolean;
  shown: QueryResult;
  connection: Connection | undefined;
  /** Changes with each user and each socket: what an older request brings is not for it. */
  generation: number;
  /** The commit that is to be fetched, if a fetch is on its way. */
  fetching: number | undefined;
  /** A result that waits for a mutation's answer, and until when at most. */
  held: Result | undefined;
  holding: ReturnType<typeof setTimeout> | undefined;
  failures: number;
  linger: ReturnType<typeof setTimeout> | undefined;
  retry: ReturnType<typeof setTimeout> | undefined;
  ready: Promise<void> | undefined;
};

export class Live {
  readonly overlays = new Overlays();
  readonly #entries = new Map<string, Entry>();
  readonly #byId = new Map<string, Entry>();
  #connections: Connection[] = [];
  #ids = 0;
  /** Sockets of one session that the hub takes. */
  #connectionsMax = 8;

  constructor(private readonly wire: Wire, private readonly status: StatusStore) {}

  static key(fn: string, args: string): string {
    return `${fn} ${args}`;
  }

  shown(key: string): QueryResult {
    return this.#entries.get(key)?.shown ?? LOADING;
  }

  /** Keeps the result fresh until what is returned is called. */
  subscribe(fn: string, args: string, listener: () => void): () => void {
    const entry = this.#entry(fn, args);
    clearTimeout(entry.linger);
    // The same listener twice is two users.
    const call = () => listener();
    entry.listeners.add(call);
    return () => {
      if (entry.listeners.delete(call) && !entry.listeners.size) this.#lingers(entry, LINGER_MS);
    };
  }

  /** Fulfilled once there is a result or an error. It keeps the result for a moment after that, whoever wants it. */
  ready(fn: string, args: string): Promise<void> {
    const entry = this.#entry(fn, args);
    return (entry.ready ??= new Promise((resolve) => {
      const end = this.subscribe(fn, args, () => {
        if (entry.shown.isLoading) return;
        end();
        if (!entry.listeners.size) this.#lingers(entry, READY_LINGER_MS);
        resolve();
      });
      if (!entry.shown.isLoading) resolve(end());
    }));
  }

  /** A mutation begins. */
  begin(overlay: Overlay): void {
    if (overlay.updates.size) this.overlays.add(overlay);
    this.#showAll(overlay.updates.keys());
  }

  /** The mutation made the commit `seq`. */
  confirm(overlay: Overlay, seq: number): void {
    overlay.seq = seq;
    const keys = [...overlay.updates.keys()];
    for (const key of keys) {
      const entry = this.#entries.get(key);
      if (!entry || entry.seq >= seq) this.overlays.shows(key, seq);
    }
    this.#showAll(keys);
    setTimeout(() => {
      for (const key of overlay.updates.keys()) {
        const entry = this.#entries.get(key);
        if (entry) this.#ask(entry);
      }
    }, CONFIRM_MS);
  }

  /** The mutation failed. */
  rollBack(overlay: Overlay): void {
    this.overlays.remove(overlay);
    this.#showAll(overlay.updates.keys());
  }

  /** Another user: nothing of the one before is shown any more. */
  restart(): void {
    this.overlays.clear();
    for (const entry of this.#entries.values()) {
      Object.assign(entry, { base: undefined, hash: undefined, error: undefined, isFresh: false, ready: undefined });
      this.#restart(entry);
      if (!entry.listeners.size) this.#forget(entry);
      else this.#show(entry);
    }
    for (const connection of this.#connections) connection.restart();
  }

  /** The same user has a new token. */
  authenticate(token: string): void {
    for (const connection of this.#connections) connection.authenticate(token);
    this.#askFailed();
  }

  /** The network may be another one, or the device has slept. */
  wake(): void {
    for (const connection of this.#connections) connection.wake();
  }

  close(): void {
    for (const entry of [...this.#entries.values()]) this.#forget(entry);
  }

  // What a connection says (Owner).

  opened(connection: Connection): void {
    this.overlays.restart();
    for (const id of connection.subscriptions) {
      const entry = this.#byId.get(id)!;
      this.#restart(entry);
      this.#ask(entry);
    }
  }

  /** What is on its way is not for it any more: another hub, or one whose data was put back, counts anew. */
  #restart(entry: Entry): void {
    clearTimeout(entry.holding);
    Object.assign(entry, { seq: 0, generation: entry.generation + 1, fetching: undefined, held: undefined });
  }

  received(connection: Connection, frame: Frame): void {
    if (frame.type === "deployed") return this.#askFailed();
    const entry = "id" in frame && frame.id !== undefined ? this.#byId.get(frame.id) : undefined;
    if (!entry || entry.connection !== connection) return;
    if (frame.type === "result") this.#result(entry, frame);
    else if (frame.type === "stale") void this.#fetch(entry, frame.seq);
    else if (frame.type === "error") {
      const { status, code, error } = frame;
      if (code === "RATE_LIMITED" && error.includes("on this socket")) this.#move(entry, connection);
      else this.#failed(entry, new FerryError(status, code, error));
    }
  }

  changed(connection: Connection): void {
    if (!connection.isOpen) {
      for (const id of connection.subscriptions) {
        const entry = this.#byId.get(id)!;
        entry.isFresh = false;
        this.#show(entry);
      }
    }
    this.#tellStatus();
  }

  crowded(connection: Connection): void {
    this.#connectionsMax = Math.max(1, this.#connections.length - 1);
    connection.capacity = 0;
    const entries = [...connection.subscriptions].map((id) => this.#byId.get(id)!);
    for (const entry of entries) this.#leave(entry);
    for (const entry of entries) this.#connect(entry);
  }

  blocked(connection: Connection): void {
    for (const id of connection.subscriptions) void this.#fetch(this.#byId.get(id)!, 0);
  }

  #tellStatus(): void {
    const order = ["error", "offline", "connecting"];
    const all = this.#connections.map(({ status }) => status);
    const worst = order.map((state) => all.find((status) => status.state === state)).find(Boolean);
    this.status.set(worst ?? { state: all.length ? "live" : "idle" });
  }

  #entry(fn: string, args: string): Entry {
    const key = Live.key(fn, args);
    const known = this.#entries.get(key);
    if (known) return known;
    const entry: Entry = {
      id: String(++this.#ids), key, fn, args, listeners: new Set(), base: undefined, hash: undefined, seq: 0, error: undefined,
      isFresh: false, shown: LOADING, connection: undefined, generation: 0, fetching: undefined, held: undefined,
      holding: undefined, failures: 0, linger: undefined, retry: undefined, ready: undefined,
    };
    this.#entries.set(key, entry);
    this.#byId.set(entry.id, entry);
    this.#connect(entry);
    return entry;
  }

  /** Gives the query to a connection that has room. */
  #connect(entry: Entry): void {
    let connection = this.#connections.find(({ subscriptions, capacity }) => subscriptions.size < capacity);
    if (!connection) {
      if (this.#connections.length >= this.#connectionsMax) return this.#failed(entry, new FerryError(429, "RATE_LIMITED", TOO_MANY));
      connection = new Connection(this.wire, this);
      this.#connections.push(connection);
      this.#tellStatus();
    }
    entry.connection = connection;
    connection.subscriptions.add(entry.id);
    this.#ask(entry);
  }

  /** The hub takes no more on this connection. */
  #move(entry: Entry, connection: Connection): void {
    this.#leave(entry);
    connection.capacity = connection.subscriptions.size;
    this.#connect(entry);
  }

  #leave(entry: Entry): void {
    const { connection, id } = entry;
    entry.connection = undefined;
    if (!connection) return;
    connection.subscriptions.delete(id);
    connection.send({ type: "unsub", id });
    if (connection.subscriptions.size) return;
    this.#connections = this.#connections.filter((other) => other !== connection);
    connection.close();
    this.#tellStatus();
  }

  /** Asks for the result, which the hub tells even if it is the same. */
  #ask(entry: Entry, known = entry.hash): void {
    const { id, fn, args, connection } = entry;
    if (new TextEncoder().encode(args).length > FRAME_MAX_BYTES - 1024) {
      this.#failed(entry, new FerryError(413, "TOO_LARGE", `ferry: ${fn}: arguments of what is kept fresh have at most 63 KiB; use query()`));
    } else {
      connection?.send({ type: "sub", id, fn, args: JSON.parse(args), known });
    }
  }

  #askFailed(): void {
    for (const entry of this.#entries.values()) if (entry.error) this.#again(entry, 0);
  }

  #again(entry: Entry, ms: number): void {
    clearTimeout(entry.retry);
    entry.retry = setTimeout(() => (entry.connection ? this.#ask(entry) : this.#connect(entry)), ms);
  }

  #result(entry: Entry, result: Result): void {
    clearTimeout(entry.retry);
    if (this.overlays.isAwaited(entry.key)) {
      if (!entry.held) entry.holding = setTimeout(() => this.#release(entry), HOLD_MS);
      entry.held = result;
    } else {
      this.#take(entry, result);
    }
  }

  #release(entry: Entry): void {
    clearTimeout(entry.holding);
    const { held } = entry;
    entry.held = undefined;
    if (held) this.#take(entry, held);
  }

  #take(entry: Entry, { seq, hash, same, data }: Result): void {
    // Two ways lead here; what is older comes too late.
    if (seq < entry.seq) return;
    // The same as one that is not held any more.
    if (same && hash !== entry.hash) return this.#ask(entry, "");
    if (!same && hash !== entry.hash) Object.assign(entry, { base: data, hash });
    Object.assign(entry, { seq, error: undefined, isFresh: entry.connection?.isOpen ?? false, failures: 0 });
    this.overlays.shows(entry.key, seq);
    this.#show(entry);
  }

  #failed(entry: Entry, error: FerryError): void {
    entry.error = error;
    entry.isFresh = false;
    this.#show(entry);
    this.#again(entry, Math.max(backoffMs(entry.failures++ + 2, 60_000), error.retryAfterMs));
  }

  /** Gets by HTTP what is too large for the socket. */
  async #fetch(entry: Entry, minSeq: number): Promise<void> {
    const isOnItsWay = entry.fetching !== undefined;
    entry.fetching = minSeq;
    if (isOnItsWay) return;
    const { fn, args, hash, generation } = entry;
    try {
      const answer = await this.wire.http.call({ fn, args, isRead: true, minSeq, known: hash });
      if (generation !== entry.generation) return;
      this.#result(entry, answer);
      const wanted = entry.fetching;
      entry.fetching = undefined;
      if (wanted > answer.seq) void this.#fetch(entry, wanted);
    } catch (error) {
      if (generation !== entry.generation) return;
      entry.fetching = undefined;
      this.#failed(entry, error as FerryError);
    }
  }

  #lingers(entry: Entry, ms: number): void {
    clearTimeout(entry.linger);
    entry.linger = setTimeout(() => this.#forget(entry), ms);
  }

  #forget(entry: Entry): void {
    clearTimeout(entry.linger);
    clearTimeout(entry.retry);
    entry.generation++;
    this.overlays.shows(entry.key, Infinity);
    if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key);
    this.#byId.delete(entry.id);
    this.#leave(entry);
  }

  #showAll(keys: Iterable<string>): void {
    for (const key of [...keys]) {
      const entry = this.#entries.get(key);
      if (!entry) continue;
      if (entry.held && !this.overlays.isAwaited(key)) this.#release(entry);
      else this.#show(entry);
    }
  }

  #show(entry: Entry): void {
    const { base, hash, error, isFresh, shown } = entry;
    const isKnown = hash !== undefined;
    const next: QueryResult = {
      data: isKnown ? this.overlays.over(entry.key, base) : undefined, error, isLoading: !isKnown && !error, isStale: !isFresh,
    };
    const isSame = (Object.keys(next) as (keyof QueryResult)[]).every((name) => Object.is(next[name], shown[name]));
    if (isSame) return;
    entry.shown = next;
    for (const listener of [...entry.listeners]) {
      try {
        if (entry.listeners.has(listener)) listener();
      } catch (thrown) {
        // It is the listener's owner who is to hear of it, after all others were called.
        setTimeout(() => { throw thrown; });
      }
    }
  }
}
