/** Sends the outbox: batches of 200, one at a time; what the hub refuses is set aside (REC-62). */

import { applyAnswer, beginResync } from "./apply.ts";
import { HttpError } from "./http.ts";
import type { Link } from "./link.ts";
import { OUTBOX, type Outgoing } from "./store.ts";
import { isResync, type PushAnswer, type Resync } from "./wire.ts";

const BATCH = 200;
/** UTF-16 units; the hub takes 10 MiB of UTF-8. What is larger in spite of this is halved. */
const BATCH_LENGTH = 6 << 20;

/** Sends one batch. Returns whether there is reason to go on. */
export function pushBatch(link: Link, signal: AbortSignal): Promise<boolean> {
  return link.turn.take(async () => {
    const state = await link.options.store.state();
    // What was pushed during a resync might be missing from the pages that end it.
    if (state.resync) return false;
    const rows: Outgoing[] = await link.options.store.db.table(OUTBOX).orderBy("n").limit(BATCH).toArray();
    if (!rows.length) return false;
    const bodies: string[] = [];
    let length = 0;
    for (const { table, n: _, ...change } of rows) {
      const body = JSON.stringify({ collection: table, ...change });
      length += body.length;
      if (bodies.length && length > BATCH_LENGTH) break;
      bodies.push(body);
    }
    return send(link, rows.slice(0, bodies.length), bodies, signal);
  });
}

async function send(link: Link, rows: Outgoing[], bodies: string[], signal: AbortSignal): Promise<boolean> {
  const { store, http, app, path } = link.options;
  const { device, cursor, epoch } = await store.state();
  const head = JSON.stringify({ app, since: cursor, epoch }).slice(0, -1);
  const body = `${head},"changes":[${bodies.join()}]}`;
  let answer: Pick<PushAnswer, "results" | "conflicts" | "seq"> | Resync;
  try {
    answer = await http.json<PushAnswer | Resync>(`${path}/changes`, device, { body, signal });
  } catch (error) {
    if (!(error instanceof HttpError) || (error.status !== 400 && error.status !== 413)) throw error;
    // Something in it makes the whole of it unreadable to the hub. Find out what, and let the rest pass.
    if (rows.length > 1) {
      const half = rows.length >> 1;
      await send(link, rows.slice(0, half), bodies.slice(0, half), signal);
      return send(link, rows.slice(half), bodies.slice(half), signal);
    }
    const reason = error.status === 413 ? "too_large" : "invalid";
    answer = { results: [{ status: "rejected", reason, message: error.message }] };
  }
  if (isResync(answer)) {
    await beginResync(store, answer.reason, answer.epoch);
    link.restart();
    return false;
  }
  if (answer.results.length !== rows.length) throw new HttpError(502, "", "bad answer");
  const { held, refused } = await applyAnswer(store, rows, answer);
  link.options.onReport({ held, refused, conflicts: answer.conflicts ?? [] });
  await link.options.refresh();
  return true;
}
