/** What mutations on their way will probably do to results: laid over these until the hub's own results show it (FUN-76). */

/** Makes the result that a mutation will probably lead to. It may run several times, and must not change `data` itself. */
export type Update = (data: any) => unknown;

export type Overlay = {
  /** By the query's key. */
  readonly updates: Map<string, Update[]>;
  /** The mutation's commit, once it is known. */
  seq?: number;
};

export class Overlays {
  readonly #all = new Set<Overlay>();

  add(overlay: Overlay): void {
    this.#all.add(overlay);
  }

  remove(overlay: Overlay): void {
    this.#all.delete(overlay);
  }

  clear(): void {
    this.#all.clear();
  }

  /** The result with all that lies over it. */
  over(key: string, data: unknown): unknown {
    for (const { updates } of this.#all) {
      for (const update of updates.get(key) ?? []) {
        try {
          data = update(data);
        } catch (error) {
          // A result that it was not made for; the hub's own is never wrong.
          console.error("ferry: an optimistic update failed", error);
        }
      }
    }
    return data;
  }

  /** Whether a mutation whose commit is not known yet lies over it. */
  isAwaited(key: string): boolean {
    return [...this.#all].some(({ seq, updates }) => seq === undefined && updates.has(key));
  }

  /** The query's result shows the commit `seq`. */
  shows(key: string, seq: number): void {
    for (const overlay of this.#all) {
      if (overlay.seq !== undefined && overlay.seq <= seq) this.#uncover(overlay, key);
    }
  }

  /** Every result to come shows what is committed by now, whatever its number. */
  restart(): void {
    for (const overlay of this.#all) if (overlay.seq !== undefined) overlay.seq = 0;
  }

  #uncover(overlay: Overlay, key: string): void {
    overlay.updates.delete(key);
    if (!overlay.updates.size) this.#all.delete(overlay);
  }
}
