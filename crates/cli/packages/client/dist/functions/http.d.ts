/** Calls over HTTP: credentials, time limits, retries, errors. */
import { type Tokens } from "./tokens.ts";
/** A function's answer. */
export type Answer = {
    /** JSON; absent where the caller holds it (`same`). */
    data: unknown;
    /** The commit that it shows, or made. */
    seq: number;
    hash: string;
    same: boolean;
};
export type Call = {
    fn: string;
    /** Canonical JSON. */
    args: string;
    /** It only reads: by GET, which the hub lets write nothing. */
    isRead?: boolean;
    idempotencyKey?: string | undefined;
    /** The answer shows this commit. */
    minSeq?: number;
    /** Hash of the result that the caller holds. */
    known?: string | undefined;
    signal?: AbortSignal | undefined;
};
/** A wait before the next try: half of what it grows to at least, so that not all come at once. */
export declare function backoffMs(attempt: number, mostMs?: number): number;
export declare class Http {
    #private;
    readonly base: string;
    private readonly key;
    private readonly tokens;
    private readonly timeoutMs;
    private readonly fetcher;
    private readonly onWarning;
    constructor(base: string, key: string | undefined, tokens: Tokens, timeoutMs: number, fetcher: typeof fetch, onWarning: (warning: string, fn: string) => void);
    /** Calls a function. Reads, and calls with an idempotency key, are tried again. */
    call({ fn, args, isRead, idempotencyKey, minSeq, known, signal }: Call): Promise<Answer>;
    /** Finds out why no socket opens: throws what the hub says, or nothing if it would let it open. */
    probe(path: string, timeoutMs: number): Promise<void>;
}
