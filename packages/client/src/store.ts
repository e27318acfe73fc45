/**
 * What Ferry keeps in the application's own IndexedDB database, beside its tables. One database, so that a write
 * and its outbox row share a transaction.
 */

import type { Dexie, Transaction } from "dexie";
import { MAX_AHEAD_US, instant, microseconds } from "./clock.ts";
import { hex } from "./blake3.ts";
import type { Json, Kinds } from "./json.ts";
import type { Stamp } from "./rule.ts";

export const META = "_ferry_meta";
export const OUTBOX = "_ferry_outbox";
export const REFUSED = "_ferry_refused";
export const STATE = "_ferry_state";
export const OWN_TABLES = [META, OUTBOX, STATE];

/** The field that says whether a record is deleted. */
export const DELETED = "deletedAt";

/** The schema of Ferry's own tables. */
export const SCHEMA = { [META]: "k", [OUTBOX]: "++n", [REFUSED]: "++n", [STATE]: "k" };

/** One field as it travels. */
export type Field = { value: Json; at: string; by?: string };
/** Fields by name. */
export type Fields = Record<string, Field>;
/** What was done to a record. */
export type Op = "insert" | "update" | "delete";

/** The fields of a row as the application stores them, without its key. */
export type Values = Record<string, unknown>;

/** What is known of one record beyond its row. */
export type Meta = {
  k: string;
  /** Time and writer of each field. */
  at: Record<string, Stamp>;
  /** The value of `deletedAt` while the record is deleted. */
  dead?: Json;
  /** The values while the record has no row: it is deleted, or the table would not take it. */
  rest?: Values;
  /** The resync in which the hub last showed the record. */
  pass?: number;
};

/** A write that the hub has not confirmed. */
export type Outgoing = {
  n?: number;
  table: string;
  id: string;
  op: Op;
  fields: Fields;
  /** The cursor when it was written. */
  seen: string;
};

/** A write that the hub refused. */
export type Refused = Outgoing & {
  /** Its number, for `retry` and `discard`. */
  n: number;
  reason: string;
  message: string;
};

/** The one row of the state table. */
export type State = {
  k: "state";
  device: string;
  /** Clock: the last microsecond given out or seen. */
  us: number;
  /** How far this computer's clock is ahead of the hub's, milliseconds; only where that is much. */
  skewMs: number;
  cursor: string;
  epoch?: string;
  seq: number;
  /** Number of the last resync. */
  pass: number;
  /** Why the resync that is going on was begun; `epoch`: the hub may have lost what this device wrote. */
  resync?: "horizon" | "epoch";
  /** Whose records these are: the hub's name for issuer and subject. */
  owner?: string;
  /** Somebody else is logged in: no record has a row until it is said what is to become of them (REC-65). */
  parked?: true;
  /** Keys (of `META`) of records that their table would not take. */
  held?: string[];
  /** The owner's newest commit as the last push heard of it: what proves that the hub was put back (REC-22). */
  head?: string;
  /** The tables that the cursor speaks of. */
  tables: string[];
};

export const keyOf = (table: string, id: string) => `${table}/${id}`;

/** The row without its key. `deletedAt` belongs to Ferry. */
export function valuesOf(row: Values, keyPath: string): Values {
  const values = { ...row };
  delete values[keyPath];
  delete values[DELETED];
  return values;
}

/** The state of a device that has never met the hub. */
export function newState(): State {
  // `randomUUID` is missing where a page comes over plain HTTP.
  const device = hex(crypto.getRandomValues(new Uint8Array(16)));
  return { k: "state", device, us: 0, skewMs: 0, cursor: "0", seq: 0, pass: 1, resync: "horizon", tables: [] };
}

/** The next time for a write. The caller stores `state` in the same transaction. */
export function tick(state: State, nowMs: number): string {
  state.us = Math.max((nowMs - state.skewMs) * 1000, state.us + 1);
  return instant(state.us, state.device);
}

/** Never give out a time before one that has been seen. */
export function observe(state: State, at: Stamp): void {
  state.us = Math.max(state.us, microseconds(at));
}

/**
 * Corrects the clock by the hub's. What was written by a clock that was far ahead keeps its time, since the hub may
 * have it already: the hub chooses another one (REC-04) and says so in its answer.
 */
export function correctClock(state: State, nowMs: number, hubs: string): void {
  const hubUs = microseconds(hubs);
  const skewMs = Math.round(nowMs - hubUs / 1000);
  state.skewMs = Math.abs(skewMs) * 1000 > MAX_AHEAD_US ? skewMs : 0;
  if (state.us - hubUs > MAX_AHEAD_US) state.us = hubUs;
}

export const recordOf = (key: string) => {
  const [table, ...id] = key.split("/");
  return { table: table!, id: id.join("/") };
};

/** The database with everything that the parts of the client share. */
export class Store {
  /** Transactions that apply what the hub sent: their writes are not captured. */
  readonly applying = new WeakSet<object>();

  constructor(
    readonly db: Dexie,
    readonly tables: string[],
    readonly now: () => number,
    /** Called when a transaction with captured writes has been committed. Added twice, it is called once. */
    readonly onCaptured: () => void,
    readonly types: Record<string, Kinds> = {},
  ) {}

  state(): Promise<State> {
    return this.db.table(STATE).get("state");
  }

  pending(): Promise<number> {
    return this.db.table(OUTBOX).count();
  }

  /** Runs `work` in one transaction over all tables, with the state, which is stored again at its end. */
  write<T>(work: (state: State) => Promise<T>): Promise<T> {
    return this.db.transaction("rw", [...this.tables, META, OUTBOX, REFUSED, STATE], async (tx: Transaction) => {
      this.applying.add((tx as unknown as { idbtrans: object }).idbtrans);
      const state = await this.state();
      const result = await work(state);
      await this.db.table(STATE).put(state);
      return result;
    });
  }
}
