import { Scope } from "./database/scope.js";
/** One call of a function, from its start until its handler has settled. */
export class Call {
    constructor(host, request) {
        this.scope = new Scope();
        this.ended = false;
        this.host = host;
        this.request = request;
    }
    /** Later use of what it handed out throws; transactions that it did not wait for are undone (FUN-17). */
    end() {
        if (this.ended)
            return;
        this.scope.abandon(this.host);
        this.ended = true;
    }
    /** The handler has returned. What it did not wait for would be lost without a word. */
    finish() {
        const isOpen = this.scope.inner !== undefined;
        this.end();
        if (isOpen)
            throw new Error("ctx.db.transaction() was still open when the function returned, and is undone: await it.");
    }
    use(what) {
        if (this.ended)
            throw new Error(`${what} was used after the function returned.`);
    }
    /** Whose records the caller's own devices keep. */
    get owner() {
        this.host.used("user");
        return this.request.owner;
    }
    get user() {
        this.host.used("user");
        return this.request.user ?? null;
    }
}
let current;
/** A context serves one call at a time (FUN-19), so that what needs no `ctx` finds its call here. */
export function setCurrentCall(call) {
    current = call;
}
export function currentCall(what) {
    if (!current || current.ended)
        throw new Error(`${what} works only while a function runs.`);
    return current;
}
