/** Whether live results are fresh. */

/**
 * `idle`: nothing is subscribed to, so there is no connection. `connecting`: it is being opened. `live`: results are the hub's.
 * `offline`: the hub cannot be reached. `error`: it refuses, see `message`. In all but `idle` it goes on by itself.
 */
export type ConnectionState = "idle" | "connecting" | "live" | "offline" | "error";

/** The state of the connection, and why it is not a good one. */
export type Status = {
  /** What to show. */
  readonly state: ConnectionState;
  /** As of a `FerryError`. */
  readonly code?: string;
  /** What is wrong, for people. */
  readonly message?: string;
};

/** Holds the status. `subscribe` calls at once and at each change, and returns how to stop (as Svelte's stores do). */
export class StatusStore {
  #status: Status = { state: "idle" };
  readonly #listeners = new Set<(status: Status) => void>();

  /** The status now. */
  readonly get = (): Status => this.#status;

  /** Calls at once and at each change. */
  readonly subscribe = (listener: (status: Status) => void): (() => void) => {
    this.#listeners.add(listener);
    listener(this.#status);
    return () => void this.#listeners.delete(listener);
  };

  /** @internal */
  set(status: Status): void {
    if (status.state === this.#status.state && status.message === this.#status.message) return;
    this.#status = status;
    for (const listener of [...this.#listeners]) listener(status);
  }
}
