import { Scope } from "./database/scope.js";
/** Most writes that a call remembers to have built and not run. */
const UNRUN_MAX = 20;
/** One call of a function, from its start until its handler has settled. */
export class Call {
    constructor(host, request) {
        this.scope = new Scope();
        this.ended = false;
        /** Writes that were built and not run so far: what each is, and where it was built. */
        this.unrun = new Map();
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
        this.tellUnrun();
        this.end();
        if (isOpen)
            throw new Error("ctx.db.transaction() was still open when the function returned, and is undone: await it.");
    }
    /** A builder of a write runs when it is awaited, which is forgotten easily. */
    built(write, what) {
        if (this.unrun.size < UNRUN_MAX)
            this.unrun.set(write, [what, stack()]);
    }
    /** It is run, or its SQL was asked for. */
    meant(write) {
        this.unrun.delete(write);
    }
    tellUnrun() {
        for (const [what, stack] of this.unrun.values()) {
            this.host.log("warn", `${what} was never run, so it changed nothing: await it, or call .run().\n${stack}`);
        }
        this.unrun.clear();
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
/** Where the program is. It may have changed how stacks are made. */
function stack() {
    try {
        const text = new Error().stack;
        return typeof text === "string" ? text : "";
    }
    catch {
        return "";
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
