import type { Host } from "../host.ts";
export declare const OVER = "This transaction is over; its tx cannot be used any more.";
/** A transaction inside the call, or (the outermost) the call itself: its savepoint and who waits for their turn in it. */
export declare class Scope {
    readonly parent: Scope | undefined;
    /** The transaction that is open inside of it. */
    inner: Scope | undefined;
    /** Whether its function is on the stack: what opens a transaction now is called by it, and cannot wait for its end. */
    onStack: boolean;
    closed: boolean;
    private waiting;
    constructor(parent?: Scope);
    /** Undoes what is open inside, innermost first. */
    abandon(host: Host): void;
    /**
     * Runs `body` in a savepoint. At once, if no other transaction is open here; in the open one, if that one calls us; else
     * after it.
     */
    run<T>(host: Host, body: (scope: Scope) => T): T | Promise<Awaited<T>>;
    private start;
    /** When nothing is open inside, or waits to be. */
    private idle;
    private keep;
    private undo;
    private leave;
    private next;
}
export declare function isThenable(value: unknown): value is PromiseLike<unknown>;
