/** Brings the hub's changes: over one stream that stays open, or by polling where streams do not get through. */

import { applyPage, beginResync } from "./apply.ts";
import { HttpError } from "./http.ts";
import type { Link } from "./link.ts";
import { events } from "./sse.ts";
import type { State } from "./store.ts";
import { isResync, type Page, type Resync } from "./wire.ts";

const PAGE_RECORDS = "2000";
/** The hub sends a heartbeat every 30 s. */
const SILENCE_MS = 75_000;
/** The first event comes at once, unless something on the way holds it back. */
const FIRST_EVENT_MS = 10_000;
/** Without a stream: how often to try for one again. */
const POLLS_PER_STREAM = 20;

function query(link: Link, { cursor, epoch, resync }: State): string {
  const { app, store } = link.options;
  const parameters = { app, since: cursor, limit: PAGE_RECORDS, collections: store.tables.join() };
  return `?${new URLSearchParams({ ...parameters, ...(epoch && { epoch }), ...(resync && { own: "1" }) })}`;
}

/** Stores an answer. Returns whether it ends what was waiting. */
async function accept(link: Link, answer: Page | Resync): Promise<"more" | "done" | "resync"> {
  const { store, onReport, refresh } = link.options;
  if (!isResync(answer)) {
    const held = await applyPage(store, answer);
    onReport({ held, refused: [], conflicts: [] });
    await refresh();
    return answer.more ? "more" : "done";
  }
  await beginResync(store, answer.reason, answer.epoch);
  return "resync";
}

/** Everything up to now, by pages. */
export async function catchUp(link: Link, signal: AbortSignal): Promise<"done" | "resync"> {
  for (;;) {
    const state = await link.options.store.state();
    const path = `${link.options.path}/changes${query(link, state)}`;
    const outcome = await accept(link, await link.options.http.json<Page | Resync>(path, state.device, { signal }));
    if (outcome !== "more") return outcome;
  }
}

/** If a resync is due: the whole of it, while nothing is pushed. */
export async function resync(link: Link, signal: AbortSignal): Promise<void> {
  while ((await link.options.store.state()).resync) {
    link.syncing();
    await link.turn.take(() => catchUp(link, signal));
    link.kick();
  }
}

/** Polls, until it is time to try for a stream. */
export async function poll(link: Link, signal: AbortSignal): Promise<void> {
  for (let i = 0; i < POLLS_PER_STREAM && !signal.aborted; i++) {
    await resync(link, signal);
    if ((await catchUp(link, signal)) === "resync") continue;
    link.live();
    await link.pullBell.wait(link.options.pollMs, signal);
  }
}

/** Follows the stream until it ends. Returns whether streams get through. */
export async function follow(link: Link, signal: AbortSignal): Promise<boolean> {
  const state = await link.options.store.state();
  const silence = new AbortController();
  const both = AbortSignal.any([signal, silence.signal]);
  let live = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), live ? SILENCE_MS : FIRST_EVENT_MS);
  };
  heard();
  try {
    const path = `${link.options.path}/changes/stream${query(link, state)}`;
    const response = await link.options.http.open(path, state.device, { signal: both });
    if (!response.body || !response.headers.get("Content-Type")?.startsWith("text/event-stream")) return false;
    for await (const { event, data } of events(response.body, heard)) {
      if (event === "bye") {
        bye(link, (JSON.parse(data) as { reason: string }).reason);
        break;
      }
      if (event !== "changes" && event !== "resync") continue;
      const outcome = await accept(link, JSON.parse(data) as Page | Resync);
      if (outcome === "resync") break;
      live = true;
      if (outcome === "done") link.live();
    }
    return true;
  } catch (error) {
    if (silence.signal.aborted && !signal.aborted) return live;
    if (error instanceof HttpError && [404, 405, 406, 501].includes(error.status)) return false;
    throw error;
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

function bye(link: Link, reason: string): void {
  if (reason === "payment_required") throw new HttpError(402, reason, "sync is not active");
  if (reason !== "shutdown") link.options.http.forgetToken();
}
