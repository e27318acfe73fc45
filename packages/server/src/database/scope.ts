import type { Host } from "../host.ts";

export const OVER = "This transaction is over; its tx cannot be used any more.";

/** A transaction inside the call, or (the outermost) the call itself: its savepoint and who waits for their turn in it. */
export class Scope {
  readonly parent: Scope | undefined;
  /** The transaction that is open inside of it. */
  inner: Scope | undefined;
  /** Whether its function is on the stack: what opens a transaction now is called by it, and cannot wait for its end. */
  onStack = false;
  closed = false;
  private waiting: (() => void)[] = [];

  constructor(parent?: Scope) {
    this.parent = parent;
  }

  /** Undoes what is open inside, innermost first. */
  abandon(host: Host): void {
    const { inner } = this;
    if (inner) {
      inner.closed = true;
      inner.abandon(host);
      this.inner = undefined;
      host.savepoint("rollback");
    }
    const waiting = this.waiting.splice(0);
    if (this.closed) for (const turn of waiting) turn();
  }

  /**
   * Runs `body` in a savepoint. At once, if no other transaction is open here; in the open one, if that one calls us; else
   * after it.
   */
  run<T>(host: Host, body: (scope: Scope) => T): T | Promise<Awaited<T>> {
    if (!this.inner) return this.start(host, body);
    if (this.inner.onStack) return this.inner.run(host, body);
    return new Promise<Awaited<T>>((resolve, reject) => {
      this.waiting.push(() => {
        try {
          resolve(this.start(host, body) as Awaited<T>);
        } catch (error) {
          reject(error);
          this.next();
        }
      });
    });
  }

  private start<T>(host: Host, body: (scope: Scope) => T): T | Promise<Awaited<T>> {
    if (this.closed) throw new Error(OVER);
    const scope = new Scope(this);
    host.savepoint("begin");
    this.inner = scope;
    let result: T;
    scope.onStack = true;
    try {
      result = body(scope);
    } catch (error) {
      this.undo(host, scope);
      throw error;
    } finally {
      scope.onStack = false;
    }
    if (!isThenable(result)) {
      if (scope.inner) return scope.idle().then(() => this.keep(host, scope, result as Awaited<T>));
      return this.keep(host, scope, result);
    }
    return Promise.resolve(result).then(
      (value) => scope.idle().then(() => this.keep(host, scope, value)),
      (error: unknown) => {
        this.undo(host, scope);
        throw error;
      },
    );
  }

  /** When nothing is open inside, or waits to be. */
  private idle(): Promise<void> {
    if (!this.inner) return Promise.resolve();
    return new Promise<void>((resolve) => this.waiting.push(() => {
      this.next();
      resolve();
    })).then(() => this.idle());
  }

  private keep<T>(host: Host, scope: Scope, value: T): T {
    if (scope.closed) throw new Error(OVER);
    host.savepoint("release");
    this.leave(scope);
    return value;
  }

  private undo(host: Host, scope: Scope): void {
    if (scope.closed) return;
    scope.closed = true;
    scope.abandon(host);
    host.savepoint("rollback");
    this.leave(scope);
  }

  private leave(scope: Scope): void {
    scope.closed = true;
    this.inner = undefined;
    this.next();
  }

  private next(): void {
    if (!this.inner) this.waiting.shift()?.();
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return value !== null && typeof value === "object" && typeof (value as { then?: unknown }).then === "function";
}
