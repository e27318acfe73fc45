/** The client of a hub's functions. */

import type { GetToken } from "../http.ts";
import { canonical } from "./canonical.ts";
import { Http } from "./http.ts";
import { Live, type QueryResult } from "./live.ts";
import type { Overlay, Update } from "./overlays.ts";
import { StatusStore } from "./status.ts";
import { Tokens } from "./tokens.ts";
import type { ArgsOf, CallParameters, MutationName, QueryName, RegisteredApi, ResultOf } from "./types.ts";

/** What {@link createClient} takes. */
export interface ClientOptions {
  /** Where the hub is: `https://hub.example.com`. A path is kept, so a database may be named in it. */
  url: string;
  /** A publishable API key of the database (`fy_pk_…`). */
  key?: string;
  /** Id or name of the hub's database; default: the key's. */
  database?: string;
  /** The user's token; called again with one that the hub has refused or that expires soon. The same one as of `ferryRecords`. */
  getToken?: GetToken;
  /**
   * Names the user of a token. Without it a JWT's `sub` does, else its claims; of another kind of token (a sync token) each is
   * taken for another user's, so that results are dropped and loaded anew with each.
   */
  userOf?: (token: string) => string;
  /** How long a call may take, with all its retries, milliseconds; default 30,000. */
  timeoutMs?: number;
  /** What a function warns of (`Query limit of 5000 overridden to 1000.`); default: `console.warn`. */
  onWarning?: (warning: string, fn: string) => void;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
  /** In place of the global `WebSocket`; Node has one since version 22. */
  WebSocket?: typeof WebSocket;
}

/** What a read may be given. */
export interface QueryOptions {
  /** Ends the call. */
  signal?: AbortSignal;
}

/** What a mutation may be given. */
export interface MutateOptions<Api = RegisteredApi> extends QueryOptions {
  /**
   * With a key the call is tried again when its answer is lost, and the hub does it once (for 24 hours); `true` makes one.
   * Actions take none. Without it a call is sent once.
   */
  idempotencyKey?: string | true;
  /**
   * Says what the mutation will do to results that are shown. They show it at once, until the hub's own result does, and
   * again as before if the mutation fails.
   */
  optimistic?: (cache: OptimisticCache<Api>) => void;
}

/** The results that are shown, for optimistic updates. */
export interface OptimisticCache<Api = RegisteredApi> {
  /** The result that is shown now. */
  get<Name extends QueryName<Api>>(fn: Name, args: ArgsOf<Api, Name>): ResultOf<Api, Name> | undefined;
  /**
   * Lays a change over a result. `change` returns a new value and leaves `data` as it is; it runs again over each newer result
   * that comes before the mutation's. A result that nobody shows has nothing to change.
   */
  update<Name extends QueryName<Api>>(
    fn: Name, args: ArgsOf<Api, Name>, change: (data: ResultOf<Api, Name>) => ResultOf<Api, Name>,
  ): void;
}

/** One query's result as a store, for user interfaces. */
export interface Observed<T> {
  /** What is known now; the same object until something changes. */
  get: () => QueryResult<T>;
  /** Keeps the result fresh and calls at each change, until what it returns is called. */
  subscribe: (listener: () => void) => () => void;
  /** Asks for the result, and is fulfilled once there is one or an error. */
  ready: () => Promise<void>;
}

/** The client of one database's functions, made by {@link createClient}. */
export class FerryClient<Api = RegisteredApi> {
  /** Whether live results are fresh. */
  readonly status = new StatusStore();
  readonly #http: Http;
  readonly #live: Live;
  readonly #tokens: Tokens;
  readonly #end = new AbortController();

  /** @internal */
  constructor(options: ClientOptions) {
    const { key, getToken, timeoutMs = 30_000, onWarning } = options;
    const base = baseOf(options);
    this.#tokens = new Tokens(getToken, (token, isOther) => {
      if (isOther || !token) this.#live.restart();
      else this.#live.authenticate(token);
    }, options.userOf);
    const fetcher = options.fetch ?? ((input, init) => fetch(input, init));
    const warn = onWarning ?? ((warning, fn) => console.warn(`ferry: ${fn}: ${warning}`));
    this.#http = new Http(base, key, this.#tokens, timeoutMs, fetcher, warn);
    const path = `/ws?sessionId=${random()}`;
    const url = base.replace(/^http/, "ws") + path + (key ? `&key=${encodeURIComponent(key)}` : "");
    const socket = options.WebSocket ?? (globalThis.WebSocket as typeof WebSocket | undefined);
    this.#live = new Live({ http: this.#http, tokens: this.#tokens, path, url, WebSocket: socket }, this.status);
    const { signal } = this.#end;
    for (const event of ["online", "offline", "pageshow", "visibilitychange"]) {
      const target = event === "visibilitychange" ? globalThis.document : globalThis;
      target?.addEventListener?.(event, () => globalThis.document?.hidden || this.#live.wake(), { signal });
    }
  }

  /** Calls a function that reads, once. It is tried again when the hub cannot be reached. */
  async query<Name extends QueryName<Api>>(
    fn: Name, ...[args, options]: CallParameters<ArgsOf<Api, Name>, [options?: QueryOptions]>
  ): Promise<ResultOf<Api, Name>> {
    const { signal } = (options ?? {}) as QueryOptions;
    const answer = await this.#http.call({ fn, args: canonical(args), isRead: true, signal });
    return answer.data as ResultOf<Api, Name>;
  }

  /** Calls a function that writes. */
  async mutate<Name extends MutationName<Api>>(
    fn: Name, ...[args, options]: CallParameters<ArgsOf<Api, Name>, [options?: MutateOptions<Api>]>
  ): Promise<ResultOf<Api, Name>> {
    const { idempotencyKey: wanted, signal, optimistic } = (options ?? {}) as MutateOptions<Api>;
    const idempotencyKey = wanted === true ? random() : wanted;
    const overlay = optimistic && this.#overlay(optimistic);
    try {
      const { data, seq } = await this.#http.call({ fn, args: canonical(args), idempotencyKey, signal });
      if (overlay) this.#live.confirm(overlay, seq);
      return data as ResultOf<Api, Name>;
    } catch (error) {
      if (overlay) this.#live.rollBack(overlay);
      throw error;
    }
  }

  /**
   * Shows a query's result: calls `listener` at once and at each change, until what is returned is called. All who show the
   * same query share one subscription.
   */
  subscribe<Name extends QueryName<Api>>(
    fn: Name, args: ArgsOf<Api, Name>, listener: (result: QueryResult<ResultOf<Api, Name>>) => void,
  ): () => void {
    const { get, subscribe } = this.observe(fn, args);
    const end = subscribe(() => listener(get()));
    listener(get());
    return end;
  }

  /** A query's result as a store. */
  observe<Name extends QueryName<Api>>(fn: Name, args: ArgsOf<Api, Name>): Observed<ResultOf<Api, Name>> {
    const text = canonical(args);
    const key = Live.key(fn, text);
    return {
      get: () => this.#live.shown(key) as QueryResult<ResultOf<Api, Name>>,
      subscribe: (listener) => this.#live.subscribe(fn, text, listener),
      ready: () => this.#live.ready(fn, text),
    };
  }

  /**
   * Asks `getToken` at once: call it after a login or a logout. What another user was shown is dropped.
   * @throws FerryError when `getToken` fails.
   */
  refreshToken(): Promise<void> {
    return this.#tokens.change();
  }

  /** Ends all subscriptions. */
  close(): void {
    this.#end.abort();
    this.#tokens.close();
    this.#live.close();
  }

  #overlay(optimistic: (cache: OptimisticCache<Api>) => void): Overlay {
    const updates = new Map<string, Update[]>();
    const keyOf = (fn: string, args: unknown) => Live.key(fn, canonical(args));
    optimistic({
      get: (fn, args) => this.#live.shown(keyOf(fn, args)).data as never,
      update: (fn, args, change) => {
        const key = keyOf(fn, args);
        updates.set(key, [...(updates.get(key) ?? []), change as Update]);
      },
    });
    const overlay: Overlay = { updates };
    this.#live.begin(overlay);
    return overlay;
  }
}

/** A client of a database's functions; one per page is enough. It connects when something is subscribed to. */
export function createClient<Api = RegisteredApi>(options: ClientOptions): FerryClient<Api> {
  return new FerryClient<Api>(options);
}

function baseOf({ url, database }: ClientOptions): string {
  const base = URL.canParse(url, globalThis.location?.href) && new URL(url, globalThis.location?.href);
  if (!base || !base.protocol.startsWith("http")) {
    throw new TypeError(`ferry: url is ${JSON.stringify(url)}: createClient needs the hub's address, like https://hub.example.com`);
  }
  const path = base.pathname.replace(/\/+$/, "");
  return base.origin + path + (database ? `/v1/databases/${encodeURIComponent(database)}` : "");
}

/** 128 random bits; also where `crypto.randomUUID` is not, which asks for HTTPS. */
function random(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
