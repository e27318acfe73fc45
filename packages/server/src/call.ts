import type { Host, Request } from "./host.ts";
import { Scope } from "./database/scope.ts";

/** Most writes that a call remembers to have built and not run. */
const UNRUN_MAX = 20;

/** One call of a function, from its start until its handler has settled. */
export class Call {
  readonly host: Host;
  readonly request: Request;
  readonly scope = new Scope();
  ended = false;
  /** Writes that were built and not run so far: what each is, and where it was built. */
  private readonly unrun = new Map<object, [what: string, stack: string]>();

  constructor(host: Host, request: Request) {
    this.host = host;
    this.request = request;
  }

  /** Later use of what it handed out throws; transactions that it did not wait for are undone (FUN-17). */
  end(): void {
    if (this.ended) return;
    this.scope.abandon(this.host);
    this.ended = true;
  }

  /** The handler has returned. What it did not wait for would be lost without a word. */
  finish(): void {
    const isOpen = this.scope.inner !== undefined;
    this.tellUnrun();
    this.end();
    if (isOpen) throw new Error("ctx.db.transaction() was still open when the function returned, and is undone: await it.");
  }

  /** A builder of a write runs when it is awaited, which is forgotten easily. */
  built(write: object, what: string): void {
    if (this.unrun.size < UNRUN_MAX) this.unrun.set(write, [what, stack()]);
  }

  /** It is run, or its SQL was asked for. */
  meant(write: object): void {
    this.unrun.delete(write);
  }

  private tellUnrun(): void {
    for (const [what, stack] of this.unrun.values()) {
      this.host.log("warn", `${what} was never run, so it changed nothing: await it, or call .run().\n${stack}`);
    }
    this.unrun.clear();
  }

  use(what: string): void {
    if (this.ended) throw new Error(`${what} was used after the function returned.`);
  }

  /** Whose records the caller's own devices keep. */
  get owner(): string {
    this.host.used("user");
    return this.request.owner;
  }

  get user(): Record<string, unknown> | null {
    this.host.used("user");
    return this.request.user ?? null;
  }
}

/** Where the program is. It may have changed how stacks are made. */
function stack(): string {
  try {
    const text: unknown = new Error().stack;
    return typeof text === "string" ? text : "";
  } catch {
    return "";
  }
}

let current: Call | undefined;

/** A context serves one call at a time (FUN-19), so that what needs no `ctx` finds its call here. */
export function setCurrentCall(call: Call): void {
  current = call;
}

export function currentCall(what: string): Call {
  if (!current || current.ended) throw new Error(`${what} works only while a function runs.`);
  return current;
}
