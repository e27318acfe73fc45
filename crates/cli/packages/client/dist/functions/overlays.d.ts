/** What mutations on their way will probably do to results: laid over these until the hub's own results show it (FUN-76). */
/** Makes the result that a mutation will probably lead to. It may run several times, and must not change `data` itself. */
export type Update = (data: any) => unknown;
export type Overlay = {
    /** By the query's key. */
    readonly updates: Map<string, Update[]>;
    /** The mutation's commit, once it is known. */
    seq?: number;
};
export declare class Overlays {
    #private;
    add(overlay: Overlay): void;
    remove(overlay: Overlay): void;
    clear(): void;
    /** The result with all that lies over it. */
    over(key: string, data: unknown): unknown;
    /** Whether a mutation whose commit is not known yet lies over it. */
    isAwaited(key: string): boolean;
    /** The query's result shows the commit `seq`. */
    shows(key: string, seq: number): void;
    /** Every result to come shows what is committed by now, whatever its number. */
    restart(): void;
}
