/** Requests to the hub: credential, time limits, errors. */
/** An answer other than 2xx, or none at all (status 0). */
export declare class HttpError extends Error {
    readonly status: number;
    readonly code: string;
    /** How long the hub asks to wait, milliseconds. */
    readonly retryAfterMs: number;
    constructor(status: number, code: string, message: string, 
    /** How long the hub asks to wait, milliseconds. */
    retryAfterMs?: number);
}
/** The code of an answer to somebody else than the owner of what this device holds. */
export declare const OWNER_CHANGED = "OWNER_CHANGED";
/** Gives the credential; `refused` is one that the hub did not take, if there was one. */
export type GetToken = (refused?: string) => string | null | undefined | Promise<string | null | undefined>;
/** `owner`: whose records the device holds, as far as it knows; the hub refuses others (REC-65). */
type Call = {
    device: string;
    owner?: string | undefined;
    body?: string;
    signal: AbortSignal;
};
/** Whose records an answer speaks of, and what the client knows in requests. */
export declare const OWNER = "Ferry-Owner";
export declare class Http {
    #private;
    private readonly base;
    private readonly getToken;
    private readonly fetcher;
    private readonly key?;
    /** Whether the hub has taken this credential, and so whose it is. */
    isAccepted: boolean;
    constructor(base: string, getToken: GetToken, fetcher: typeof fetch, key?: string | undefined);
    /** Asks for a new credential before the next request. */
    forgetToken(): void;
    /** The body, and whose records it speaks of. */
    json<T>(path: string, call: Call): Promise<{
        body: T;
        owner: string | null;
    }>;
    /** The response with a 2xx status. */
    open(path: string, call: Call): Promise<Response>;
}
export {};
