export const OVER = "This transaction is over; its tx cannot be used any more.";
/** A transaction inside the call, or (the outermost) the call itself: its savepoint and who waits for their turn in it. */
export class Scope {
    constructor(parent) {
        /** Whether its function is on the stack: what opens a transaction now is called by it, and cannot wait for its end. */
        this.onStack = false;
        this.closed = false;
        this.waiting = [];
        this.parent = parent;
    }
    /** Undoes what is open inside, innermost first. */
    abandon(host) {
        const { inner } = this;
        if (inner) {
            inner.closed = true;
            inner.abandon(host);
            this.inner = undefined;
            host.savepoint("rollback");
        }
        const waiting = this.waiting.splice(0);
        if (this.closed)
            for (const turn of waiting)
                turn();
    }
    /**
     * Runs `body` in a savepoint. At once, if no other transaction is open here; in the open one, if that one calls us; else
     * after it.
     */
    run(host, body) {
        if (!this.inner)
            return this.start(host, body);
        if (this.inner.onStack)
            return this.inner.run(host, body);
        return new Promise((resolve, reject) => {
            this.waiting.push(() => {
                try {
                    resolve(this.start(host, body));
                }
                catch (error) {
                    reject(error);
                    this.next();
                }
            });
        });
    }
    start(host, body) {
        if (this.closed)
            throw new Error(OVER);
        const scope = new Scope(this);
        host.savepoint("begin");
        this.inner = scope;
        let result;
        scope.onStack = true;
        try {
            result = body(scope);
        }
        catch (error) {
            this.undo(host, scope);
            throw error;
        }
        finally {
            scope.onStack = false;
        }
        if (!isThenable(result)) {
            if (scope.inner)
                return scope.idle().then(() => this.keep(host, scope, result));
            return this.keep(host, scope, result);
        }
        return Promise.resolve(result).then((value) => scope.idle().then(() => this.keep(host, scope, value)), (error) => {
            this.undo(host, scope);
            throw error;
        });
    }
    /** When nothing is open inside, or waits to be. */
    idle() {
        if (!this.inner)
            return Promise.resolve();
        return new Promise((resolve) => this.waiting.push(() => {
            this.next();
            resolve();
        })).then(() => this.idle());
    }
    keep(host, scope, value) {
        if (scope.closed)
            throw new Error(OVER);
        host.savepoint("release");
        this.leave(scope);
        return value;
    }
    undo(host, scope) {
        if (scope.closed)
            return;
        scope.closed = true;
        scope.abandon(host);
        host.savepoint("rollback");
        this.leave(scope);
    }
    leave(scope) {
        scope.closed = true;
        this.inner = undefined;
        this.next();
    }
    next() {
        if (!this.inner)
            this.waiting.shift()?.();
    }
}
export function isThenable(value) {
    return value !== null && typeof value === "object" && typeof value.then === "function";
}
