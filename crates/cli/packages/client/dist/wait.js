/** Waiting that can be cut short. */
const BASE_MS = 500;
const CAP_MS = 60_000;
/** About the longest that timers take: 23 days. */
export const LONG_MS = 2_000_000_000;
/** Exponential backoff with full jitter: somewhere between now and twice as late as the time before, at most. */
export function backoffMs(attempt) {
    return Math.random() * Math.min(CAP_MS, BASE_MS * 2 ** attempt);
}
/** What one loop waits for. A notification while nobody waits is remembered. */
export class Notify {
    #notified = false;
    #wake;
    notify() {
        this.#notified = true;
        this.#wake?.();
    }
    /** Waits for a notification, the time, or the end. */
    async wait(ms, signal) {
        if (!this.#notified && !signal.aborted) {
            await new Promise((resolve) => {
                const timer = setTimeout(() => done(), ms);
                const done = () => {
                    clearTimeout(timer);
                    signal.removeEventListener("abort", done);
                    resolve();
                };
                this.#wake = done;
                signal.addEventListener("abort", done);
            });
        }
        this.#notified = false;
    }
}
/** Runs one piece of work after the other. */
export class Mutex {
    #last = Promise.resolve();
    run(work) {
        const run = this.#last.then(work, work);
        this.#last = run;
        return run;
    }
}
