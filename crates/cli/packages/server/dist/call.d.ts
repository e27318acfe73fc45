import type { Host, Request } from "./host.ts";
import { Scope } from "./database/scope.ts";
/** One call of a function, from its start until its handler has settled. */
export declare class Call {
    readonly host: Host;
    readonly request: Request;
    readonly scope: Scope;
    ended: boolean;
    /** Writes that were built and not run so far: what each is, and where it was built. */
    private readonly unrun;
    constructor(host: Host, request: Request);
    /** Later use of what it handed out throws; transactions that it did not wait for are undone (FUN-17). */
    end(): void;
    /** The handler has returned. What it did not wait for would be lost without a word. */
    finish(): void;
    /** A builder of a write runs when it is awaited, which is forgotten easily. */
    built(write: object, what: string): void;
    /** It is run, or its SQL was asked for. */
    meant(write: object): void;
    private tellUnrun;
    use(what: string): void;
    /** Whose records the caller's own devices keep. */
    get owner(): string;
    get user(): Record<string, unknown> | null;
}
/** A context serves one call at a time (FUN-19), so that what needs no `ctx` finds its call here. */
export declare function setCurrentCall(call: Call): void;
export declare function currentCall(what: string): Call;
