/** Sends the outbox: batches of 200, one at a time; what the hub refuses is set aside (REC-62). */

import { applyAnswer, beginResync } from "./apply.ts";
import { HttpError } from "./http.ts";
import type { Link } from "./link.ts";
import { OUTBOX, type Outgoing } from "./store.ts";
import { isResync, type PushAnswer, type Resync } from "./wire.ts";

const BATCH = 200;
/** Below the hub's 10 MiB. */
const BATCH_BYTES = 8 << 20;

type Batch = { rows: Outgoing[]; bodies: string[] };

/** Sends one batch. Returns whether there is reason to go on. */
export function pushBatch(link: Link, signal: AbortSignal): Promise<boolean> {
  return link.turn.take(async () => {
    const state = await link.store.state();
    // What was pushed during a resync might be missing from the pages that end it.
    if (state.resync) return false;
    const rows: Outgoing[] = await link.store.db.table(OUTBOX).orderBy("n").limit(BATCH).toArray();
    if (!rows.length) return false;
    return send(link, fitting(rows), signal);
  });
}

function fitting(rows: Outgoing[]): Batch {
  const encoder = new TextEncoder();
  const bodies: string[] = [];
  let bytes = 0;
  for (const { table, n: _, ...change } of rows) {
    const body = JSON.stringify({ collection: table, ...change });
    bytes += encoder.encode(body).length + 1;
    if (bodies.length && bytes > BATCH_BYTES) break;
    bodies.push(body);
  }
  return { rows: rows.slice(0, bodies.length), bodies };
}

async function send(link: Link, { rows, bodies }: Batch, signal: AbortSignal): Promise<boolean> {
  const { store, http, app, path } = link;
  const { device, cursor, epoch } = await store.state();
  const head = JSON.stringify({ app, since: cursor, epoch }).slice(0, -1);
  const body = `${head},"changes":[${bodies.join()}]}`;
  let answer: PushAnswer | Resync;
  try {
    answer = await http.json(`${path}/changes`, device, { method: "POST", body, signal });
  } catch (error) {
    if (!(error instanceof HttpError) || (error.status !== 400 && error.status !== 413)) throw error;
    // Something in it makes the whole of it unreadable to the hub. Find out what, and let the rest pass.
    if (rows.length > 1) {
      const half = rows.length >> 1;
      await send(link, { rows: rows.slice(0, half), bodies: bodies.slice(0, half) }, signal);
      return send(link, { rows: rows.slice(half), bodies: bodies.slice(half) }, signal);
    }
    const reason = error.status === 413 ? "too_large" : "invalid";
    answer = { epoch: "", now: "", results: [{ status: "rejected", reason, message: error.message }] };
  }
  if (isResync(answer)) {
    await beginResync(store, answer.reason, answer.epoch);
    link.restart();
    return false;
  }
  if (answer.results.length !== rows.length) throw new HttpError(502, "bad_answer", "the answer does not match the push");
  const { held, refused } = await applyAnswer(store, rows, answer);
  link.report({ held, refused, conflicts: answer.conflicts ?? [] });
  await link.refresh();
  return true;
}
