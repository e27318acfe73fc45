/** Whether live results are fresh. */
/** Holds the status. `subscribe` calls at once and at each change, and returns how to stop (as Svelte's stores do). */
export class StatusStore {
    constructor() {
        this.#status = { state: "idle" };
        this.#listeners = new Set();
        /** The status now. */
        this.get = () => this.#status;
        /** Calls at once and at each change. */
        this.subscribe = (listener) => {
            this.#listeners.add(listener);
            listener(this.#status);
            return () => void this.#listeners.delete(listener);
        };
    }
    #status;
    #listeners;
    /** @internal */
    set(status) {
        if (status.state === this.#status.state && status.message === this.#status.message)
            return;
        this.#status = status;
        for (const listener of [...this.#listeners])
            listener(status);
    }
}
