/** The state of the connection, as a store that user interfaces can subscribe to (REC-63). */
/** Holds the status. `subscribe` calls at once and at each change, and returns how to stop (as Svelte's stores do). */
export class StatusStore {
    #status = { state: "offline", pending: 0, seq: 0, ready: false };
    #listeners = new Set();
    /** The status now. */
    get() {
        return this.#status;
    }
    /** Calls at once and at each change; gives how to stop. */
    subscribe(listener) {
        this.#listeners.add(listener);
        listener(this.#status);
        return () => void this.#listeners.delete(listener);
    }
    /** Returns whether anything changed. */
    set(status) {
        if (JSON.stringify(status) === JSON.stringify(this.#status))
            return false;
        this.#status = status;
        for (const listener of [...this.#listeners])
            listener(status);
        return true;
    }
}
