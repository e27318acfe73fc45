/** One socket to the hub, opened again whenever it is lost. It knows frames, not what they mean. */

import { FerryError } from "./error.ts";
import { backoffMs, type Http } from "./http.ts";
import type { Status } from "./status.ts";
import type { Tokens } from "./tokens.ts";

const PROTOCOL = "ferry.functions.v1";
/** Silence after which the hub is asked for an answer, and how long it has, milliseconds. */
const PING_MS = 25_000;
const DEAD_MS = 10_000;
/** Silence that says that the device slept, milliseconds. Browsers delay the timers of hidden pages by a minute. */
const SLEPT_MS = 180_000;
/** A connection that lasted so long was a good one, milliseconds. */
const GOOD_MS = 10_000;
/** A policy of the hub ended it. */
const POLICY = 1008;

/** What the hub says (functions' wire). */
export type Frame =
  | { type: "auth"; ok: boolean; exp?: number; error?: string }
  | { type: "result"; id: string; seq: number; hash: string; same?: true; data?: unknown }
  | { type: "stale"; id: string; seq: number }
  | { type: "error"; id?: string; status: number; code: string; error: string }
  | { type: "deployed"; deployment: string };

export type Wire = {
  http: Http;
  tokens: Tokens;
  /** Of `/ws`, below the base. */
  path: string;
  /** Of `/ws`, whole. */
  url: string;
  WebSocket: typeof WebSocket | undefined;
};

export type Owner = {
  opened(connection: Connection): void;
  received(connection: Connection, frame: Frame): void;
  /** The state is another one. */
  changed(connection: Connection): void;
  /** HTTP gets through and the socket does not. */
  blocked(connection: Connection): void;
  /** The hub has ended it in favour of a newer one of the page. */
  crowded(connection: Connection): void;
};

export class Connection {
  /** Names of the subscriptions that it keeps. */
  readonly subscriptions = new Set<string>();
  /** How many the hub takes. */
  capacity = 500;
  status: Status = { state: "connecting" };
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  /** Counts sockets, so that what an old one says late is not heard. */
  #generation = 0;
  /** When the hub was last heard. */
  #heardAt = 0;
  /** What the hub was told last. */
  #token: string | null = null;

  constructor(private readonly wire: Wire, private readonly owner: Owner) {
    void this.#connect();
  }

  get isOpen(): boolean {
    return this.status.state === "live";
  }

  send(frame: object): void {
    if (this.isOpen) this.#socket!.send(JSON.stringify(frame));
  }

  /** The user has a new token. */
  authenticate(token: string): void {
    this.#token = token;
    this.send({ type: "auth", token });
  }

  /** Something says that the network is another one, or the page is looked at again. */
  wake(): void {
    if (this.isOpen) this.#check();
    else if (!this.#socket) this.restart();
  }

  /** Opens a socket in place of the one that is there. */
  restart(): void {
    this.#drop();
    this.#attempt = 0;
    void this.#connect();
  }

  close(): void {
    this.#drop();
  }

  async #connect(): Promise<void> {
    const generation = ++this.#generation;
    const isOver = () => generation !== this.#generation;
    try {
      const { tokens, url, WebSocket } = this.wire;
      const token = await tokens.get();
      if (isOver()) return;
      if (!WebSocket) throw new FerryError(0, "WEBSOCKET", "ferry: there is no WebSocket here: give one to createClient({ WebSocket })");
      const socket = new WebSocket(url, token ? [PROTOCOL, `ferry.bearer.${token}`] : [PROTOCOL]);
      this.#socket = socket;
      this.#timer = setTimeout(() => void this.#lost(false), DEAD_MS);
      const openedAt = Date.now();
      // It says nothing that `onclose` does not; without a listener the package `ws` throws.
      socket.onerror = () => {};
      socket.onopen = () => {
        if (isOver()) return;
        this.#listen();
        this.#become({ state: "live" });
        // It is taken already; the answer says until when it holds.
        if (token) this.authenticate(token);
        this.owner.opened(this);
      };
      socket.onmessage = ({ data }) => {
        if (isOver()) return;
        this.#listen();
        if (data !== "pong") this.#receive(JSON.parse(data as string) as Frame);
      };
      socket.onclose = ({ code, reason }) => {
        if (isOver()) return;
        if (this.isOpen && Date.now() - openedAt > GOOD_MS) this.#attempt = 0;
        if (code === POLICY && reason.startsWith("too many sockets")) return this.owner.crowded(this);
        void this.#lost(code === POLICY && reason.startsWith("token"));
      };
    } catch (error) {
      if (!isOver()) this.#retry(error as Error);
    }
  }

  #receive(frame: Frame): void {
    if (frame.type !== "auth") return this.owner.received(this, frame);
    const { tokens } = this.wire;
    if (frame.exp || !frame.ok) tokens.expires(frame.ok ? frame.exp! : 0);
    if (!frame.ok) tokens.renew(this.#token).catch(() => {});
  }

  /** Counts the silence from now on. */
  #listen(): void {
    clearTimeout(this.#timer);
    this.#heardAt = Date.now();
    this.#timer = setTimeout(() => this.#check(), PING_MS);
  }

  /** Whether the hub is still there. */
  #check(): void {
    if (Date.now() - this.#heardAt > SLEPT_MS) return this.restart();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#lost(false), DEAD_MS);
    this.#socket!.send("ping");
  }

  #drop(): void {
    clearTimeout(this.#timer);
    this.#generation++;
    const socket = this.#socket;
    this.#socket = undefined;
    if (this.isOpen) this.#become({ state: "connecting" });
    socket?.close();
  }

  async #lost(isTokenOver: boolean): Promise<void> {
    const wasOpen = this.isOpen;
    this.#drop();
    const generation = this.#generation;
    let error: FerryError | undefined;
    try {
      // A browser does not tell why a socket does not open.
      if (!wasOpen) await this.wire.http.probe(this.wire.path, DEAD_MS);
      if (isTokenOver) await this.wire.tokens.renew(await this.wire.tokens.get());
    } catch (reason) {
      error = reason as FerryError;
    }
    if (generation !== this.#generation) return;
    if (!wasOpen && !error && this.#attempt > 1) {
      error = new FerryError(0, "WEBSOCKET", "ferry: the hub answers, but no WebSocket gets through to it: does a proxy stop it?");
      this.owner.blocked(this);
    }
    this.#retry(error);
  }

  #retry(error: Error | undefined): void {
    clearTimeout(this.#timer);
    // A browser refuses what the page's own security forbids.
    const { code, message, retryAfterMs } = error instanceof FerryError ? error : new FerryError(0, "WEBSOCKET", `ferry: ${error?.message}`);
    if (error) this.#become({ state: code === "OFFLINE" || code === "TIMEOUT" ? "offline" : "error", code, message });
    this.#timer = setTimeout(() => void this.#connect(), Math.max(backoffMs(this.#attempt++), retryAfterMs));
  }

  #become(status: Status): void {
    this.status = status;
    this.owner.changed(this);
  }
}
