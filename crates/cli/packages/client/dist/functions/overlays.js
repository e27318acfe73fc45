/** What mutations on their way will probably do to results: laid over these until the hub's own results show it (FUN-76). */
export class Overlays {
    #all = new Set();
    add(overlay) {
        this.#all.add(overlay);
    }
    remove(overlay) {
        this.#all.delete(overlay);
    }
    clear() {
        this.#all.clear();
    }
    /** The result with all that lies over it. */
    over(key, data) {
        for (const { updates } of this.#all) {
            for (const update of updates.get(key) ?? []) {
                try {
                    data = update(data);
                }
                catch (error) {
                    // A result that it was not made for; the hub's own is never wrong.
                    console.error("ferry: an optimistic update failed", error);
                }
            }
        }
        return data;
    }
    /** Whether a mutation whose commit is not known yet lies over it. */
    isAwaited(key) {
        return [...this.#all].some(({ seq, updates }) => seq === undefined && updates.has(key));
    }
    /** The query's result shows the commit `seq`. */
    shows(key, seq) {
        for (const overlay of this.#all) {
            if (overlay.seq !== undefined && overlay.seq <= seq)
                this.#uncover(overlay, key);
        }
    }
    /** Every result to come shows what is committed by now, whatever its number. */
    restart() {
        for (const overlay of this.#all)
            if (overlay.seq !== undefined)
                overlay.seq = 0;
    }
    #uncover(overlay, key) {
        overlay.updates.delete(key);
        if (!overlay.updates.size)
            this.#all.delete(overlay);
    }
}
