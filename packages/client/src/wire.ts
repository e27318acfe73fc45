/** What the hub answers; docs/records-wire.md says more. */

import type { Field, Fields } from "./store.ts";

/** One record's new fields. */
export type Incoming = { collection: string; id: string; cts: string; fields: Fields };

/** The answer to `GET /changes` and the data of a `changes` event. */
export type Page = {
  epoch: string;
  snapshot: boolean;
  now: string;
  seq?: number;
  changes: Incoming[];
  cursor: string;
  more: boolean;
};

/**
 * In place of any answer: start again from the beginning. `diverged`: the hub was put back to an older state, as the
 * cursor shows; as after `epoch`, and any word that is not known yet, the device's own writes are sent again.
 */
export type Resync = { resync: true; reason: "horizon" | "epoch" | "diverged"; epoch: string };

/** What became of one change of a push. */
export type Result =
  | { status: "ok"; fields?: Fields }
  | { status: "rejected"; fields?: Fields; reason: string; message: string };

/** A write that lost against one that its writer had not seen. */
export type Conflict = { collection: string; id: string; field: string; winner: Field; loser: Field };

/** The answer to `POST /changes`. */
export type PushAnswer = {
  now?: string;
  seq?: number;
  /** The owner's newest commit; opaque. */
  head?: string;
  results: Result[];
  conflicts?: Conflict[];
};

export const isResync = (answer: object): answer is Resync => "resync" in answer;
