/** Waiting that can be cut short. */
/** About the longest that timers take: 23 days. */
export declare const LONG_MS = 2000000000;
/** Exponential backoff with full jitter: somewhere between now and twice as late as the time before, at most. */
export declare function backoffMs(attempt: number): number;
/** What one loop waits for. A notification while nobody waits is remembered. */
export declare class Notify {
    #private;
    notify(): void;
    /** Waits for a notification, the time, or the end. */
    wait(ms: number, signal: AbortSignal): Promise<void>;
}
/** Runs one piece of work after the other. */
export declare class Mutex {
    #private;
    run<T>(work: () => Promise<T>): Promise<T>;
}
