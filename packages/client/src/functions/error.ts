/** A call that failed, or a subscription whose result cannot be made. */
export class FerryError extends Error {
  /** `FerryError`. */
  override readonly name = "FerryError";

  constructor(
    /** HTTP status; 0: no answer came. */
    readonly status: number,
    /** Stable word: `NOT_FOUND`, `CONFLICT`, …, `INTERNAL`; without an answer `OFFLINE`, `TIMEOUT` or `TOKEN`. */
    readonly code: string,
    /** The hub's own message: what the function threw. */
    message: string,
    /** Names the call in the hub's log (`ferry logs`). */
    readonly requestId?: string,
    /** How long the hub asks to wait, milliseconds. */
    readonly retryAfterMs = 0,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** Whether the same call may succeed later. Of a call that wrote, without an idempotency key, nobody knows whether it did. */
  get retryable(): boolean {
    const { status, code } = this;
    return [429, 502, 503].includes(status) || (status === 0 && code !== "TOKEN") || (status === 504 && code !== "TIMEOUT");
  }
}
