/** A call that failed, or a subscription whose result cannot be made. */
export class FerryError extends Error {
    constructor(
    /** HTTP status; 0: no answer came. */
    status, 
    /** Stable word: `NOT_FOUND`, `CONFLICT`, …, `INTERNAL`; without an answer `OFFLINE`, `TIMEOUT` or `TOKEN`. */
    code, 
    /** The hub's own message: what the function threw. */
    message, 
    /** Names the call in the hub's log (`ferry logs`). */
    requestId, 
    /** How long the hub asks to wait, milliseconds. */
    retryAfterMs = 0, options) {
        super(message, options);
        this.status = status;
        this.code = code;
        this.requestId = requestId;
        this.retryAfterMs = retryAfterMs;
        /** `FerryError`. */
        this.name = "FerryError";
    }
    /** Whether the same call may succeed later. Of a call that wrote, without an idempotency key, nobody knows whether it did. */
    get retryable() {
        const { status, code } = this;
        return [429, 502, 503].includes(status) || (status === 0 && code !== "TOKEN") || (status === 504 && code !== "TIMEOUT");
    }
}
