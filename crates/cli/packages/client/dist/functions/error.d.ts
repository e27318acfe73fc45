/** A call that failed, or a subscription whose result cannot be made. */
export declare class FerryError extends Error {
    /** HTTP status; 0: no answer came. */
    readonly status: number;
    /** Stable word: `NOT_FOUND`, `CONFLICT`, …, `INTERNAL`; without an answer `OFFLINE`, `TIMEOUT` or `TOKEN`. */
    readonly code: string;
    /** Names the call in the hub's log (`ferry logs`). */
    readonly requestId?: string | undefined;
    /** How long the hub asks to wait, milliseconds. */
    readonly retryAfterMs: number;
    /** `FerryError`. */
    readonly name = "FerryError";
    constructor(
    /** HTTP status; 0: no answer came. */
    status: number, 
    /** Stable word: `NOT_FOUND`, `CONFLICT`, …, `INTERNAL`; without an answer `OFFLINE`, `TIMEOUT` or `TOKEN`. */
    code: string, 
    /** The hub's own message: what the function threw. */
    message: string, 
    /** Names the call in the hub's log (`ferry logs`). */
    requestId?: string | undefined, 
    /** How long the hub asks to wait, milliseconds. */
    retryAfterMs?: number, options?: ErrorOptions);
    /** Whether the same call may succeed later. Of a call that wrote, without an idempotency key, nobody knows whether it did. */
    get retryable(): boolean;
}
