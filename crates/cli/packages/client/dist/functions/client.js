/** The client of a hub's functions. */
import { canonical } from "./canonical.js";
import { Http } from "./http.js";
import { Live } from "./live.js";
import { StatusStore } from "./status.js";
import { Tokens } from "./tokens.js";
/** The client of one database's functions, made by {@link createClient}. */
export class FerryClient {
    #http;
    #live;
    #tokens;
    #end;
    /** @internal */
    constructor(options) {
        /** Whether live results are fresh. */
        this.status = new StatusStore();
        this.#end = new AbortController();
        const { key, getToken, timeoutMs = 30_000, onWarning } = options;
        const base = baseOf(options);
        this.#tokens = new Tokens(getToken, (token, isOther) => {
            if (isOther || !token)
                this.#live.restart();
            else
                this.#live.authenticate(token);
        }, options.userOf);
        const fetcher = options.fetch ?? ((input, init) => fetch(input, init));
        const warn = onWarning ?? ((warning, fn) => console.warn(`ferry: ${fn}: ${warning}`));
        this.#http = new Http(base, key, this.#tokens, timeoutMs, fetcher, warn);
        const path = `/ws?sessionId=${random()}`;
        const url = base.replace(/^http/, "ws") + path + (key ? `&key=${encodeURIComponent(key)}` : "");
        const socket = options.WebSocket ?? globalThis.WebSocket;
        this.#live = new Live({ http: this.#http, tokens: this.#tokens, path, url, WebSocket: socket }, this.status);
        const { signal } = this.#end;
        for (const event of ["online", "offline", "pageshow", "visibilitychange"]) {
            const target = event === "visibilitychange" ? globalThis.document : globalThis;
            target?.addEventListener?.(event, () => globalThis.document?.hidden || this.#live.wake(), { signal });
        }
    }
    /** Calls a function that reads, once. It is tried again when the hub cannot be reached. */
    async query(fn, ...[args, options]) {
        const { signal } = (options ?? {});
        const answer = await this.#http.call({ fn, args: canonical(args), isRead: true, signal });
        return answer.data;
    }
    /** Calls a function that writes. */
    async mutate(fn, ...[args, options]) {
        const { idempotencyKey: wanted, signal, optimistic } = (options ?? {});
        const idempotencyKey = wanted === true ? random() : wanted;
        const overlay = optimistic && this.#overlay(optimistic);
        try {
            const { data, seq } = await this.#http.call({ fn, args: canonical(args), idempotencyKey, signal });
            if (overlay)
                this.#live.confirm(overlay, seq);
            return data;
        }
        catch (error) {
            if (overlay)
                this.#live.rollBack(overlay);
            throw error;
        }
    }
    /**
     * Shows a query's result: calls `listener` at once and at each change, until what is returned is called. All who show the
     * same query share one subscription.
     */
    subscribe(fn, args, listener) {
        const { get, subscribe } = this.observe(fn, args);
        const end = subscribe(() => listener(get()));
        listener(get());
        return end;
    }
    /** A query's result as a store. */
    observe(fn, args) {
        const text = canonical(args);
        const key = Live.key(fn, text);
        return {
            get: () => this.#live.shown(key),
            subscribe: (listener) => this.#live.subscribe(fn, text, listener),
            ready: () => this.#live.ready(fn, text),
        };
    }
    /**
     * Asks `getToken` at once: call it after a login or a logout. What another user was shown is dropped.
     * @throws FerryError when `getToken` fails.
     */
    refreshToken() {
        return this.#tokens.change();
    }
    /** Ends all subscriptions. */
    close() {
        this.#end.abort();
        this.#tokens.close();
        this.#live.close();
    }
    #overlay(optimistic) {
        const updates = new Map();
        const keyOf = (fn, args) => Live.key(fn, canonical(args));
        optimistic({
            get: (fn, args) => this.#live.shown(keyOf(fn, args)).data,
            update: (fn, args, change) => {
                const key = keyOf(fn, args);
                updates.set(key, [...(updates.get(key) ?? []), change]);
            },
        });
        const overlay = { updates };
        this.#live.begin(overlay);
        return overlay;
    }
}
/** A client of a database's functions; one per page is enough. It connects when something is subscribed to. */
export function createClient(options) {
    return new FerryClient(options);
}
function baseOf({ url, database }) {
    const base = URL.canParse(url, globalThis.location?.href) && new URL(url, globalThis.location?.href);
    if (!base || !base.protocol.startsWith("http")) {
        throw new TypeError(`ferry: url is ${JSON.stringify(url)}: createClient needs the hub's address, like https://hub.example.com`);
    }
    const path = base.pathname.replace(/\/+$/, "");
    return base.origin + path + (database ? `/v1/databases/${encodeURIComponent(database)}` : "");
}
/** 128 random bits; also where `crypto.randomUUID` is not, which asks for HTTPS. */
function random() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
