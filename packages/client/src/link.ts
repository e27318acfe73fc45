/** The leader's connection to the hub: one loop that pulls, one that pushes. */

import type { Held } from "./drafts.ts";
import type { Http, HttpError } from "./http.ts";
import { follow, poll, resync } from "./pull.ts";
import { pushBatch } from "./push.ts";
import type { SyncState } from "./status.ts";
import type { Refused, Store } from "./store.ts";
import { Bell, LONG_MS, Turn, backoffMs } from "./wait.ts";
import type { Conflict } from "./wire.ts";

/** How long to wait after the hub has asked for payment. */
const PAYMENT_MS = 5 * 60_000;

/** What the application wants to hear of. */
export type Report = { held: Held[]; refused: Refused[]; conflicts: Conflict[] };

/** Why nothing moves. */
export type Trouble = { state: SyncState; reason?: string; message?: string };

export type LinkOptions = {
  store: Store;
  http: Http;
  app: string;
  path: string;
  pollMs: number;
  /** The state of the connection has changed. */
  onState: (trouble: Trouble) => void;
  onReport: (report: Report) => void;
  /** Counts have changed. */
  refresh: () => Promise<void>;
};

export class Link {
  /** Pushes and resyncs take turns. */
  readonly turn = new Turn();
  readonly pullBell = new Bell();
  readonly #pushBell = new Bell();
  readonly #retryBell = new Bell();
  #pullState: Trouble = { state: "syncing" };
  #pushTrouble: Trouble | undefined;
  #pullFailures = 0;
  #restart = new AbortController();

  constructor(readonly options: LinkOptions) {}

  /** Runs until `signal`, or until the database is closed. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal]);
    await Promise.race([this.#pull(both), this.#push(both)]);
    stop.abort();
  }

  /** There is something to push. */
  kick(): void {
    this.#pushBell.ring();
  }

  /** The network is back, or the user wants it now. */
  wake(): void {
    this.pullBell.ring();
    this.#pushBell.ring();
    this.#retryBell.ring();
  }

  /** Ends the stream, so that the pull begins anew. */
  restart(): void {
    this.#restart.abort();
    this.pullBell.ring();
  }

  /** The pull has caught up. */
  live(): void {
    this.#pullFailures = 0;
    this.#show({ state: "live" });
  }

  /** The whole state is being fetched. */
  syncing(): void {
    this.#show({ state: "syncing" });
  }

  async #pull(signal: AbortSignal): Promise<void> {
    let streams = true;
    while (!signal.aborted) {
      this.#restart = new AbortController();
      const both = AbortSignal.any([signal, this.#restart.signal]);
      try {
        await resync(this, both);
        if (streams) {
          streams = await follow(this, both);
          if (streams) await this.pullBell.wait(backoffMs(this.#pullFailures++), signal);
        } else {
          await poll(this, both);
          streams = true;
        }
      } catch (error) {
        if (signal.aborted || isClosed(error)) return;
        if (this.#restart.signal.aborted) continue;
        const { trouble, ms } = judge(error, this.#pullFailures++);
        this.#show(trouble);
        await this.pullBell.wait(ms, signal);
      }
    }
  }

  async #push(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        while (await pushBatch(this, signal)) failures = 0;
        this.#pushTrouble = undefined;
        this.#show(this.#pullState);
        await this.#pushBell.wait(LONG_MS, signal);
      } catch (error) {
        if (signal.aborted || isClosed(error)) return;
        const { trouble, ms } = judge(error, failures++);
        this.#pushTrouble = trouble;
        this.#show(this.#pullState);
        // New writes are no reason to hurry: the hub has just said no.
        await this.#retryBell.wait(ms, signal);
      }
    }
  }

  #show(pull: Trouble): void {
    this.#pullState = pull;
    this.options.onState(this.#pushTrouble ?? pull);
  }
}

/** The application has closed the database. */
function isClosed(error: unknown): boolean {
  return ["DatabaseClosedError", "InvalidStateError"].includes((error as Error).name);
}

/** What a failure means for the user, and how long to wait. What is no HttpError has happened in this browser. */
function judge(error: unknown, failures: number): { trouble: Trouble; ms: number } {
  const { message, status, code, retryAfterMs = 0 } = error as Error & Partial<HttpError>;
  const state = status === 0 ? "offline" : status === 402 ? "paused" : "error";
  const reason = code || String(status ?? "local");
  const ms = status === 402 ? PAYMENT_MS : Math.max(retryAfterMs, backoffMs(failures));
  return { trouble: { state, reason, message }, ms };
}
