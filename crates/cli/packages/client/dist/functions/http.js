/** Calls over HTTP: credentials, time limits, retries, errors. */
import { FerryError } from "./error.js";
import { TIMER_MAX_MS } from "./tokens.js";
/** Retries of one call. */
const RETRIES_MAX = 4;
/** Largest arguments that a URL carries, characters. */
const URL_ARGS_MAX = 2000;
/** A wait before the next try: half of what it grows to at least, so that not all come at once. */
export function backoffMs(attempt, mostMs = 30_000) {
    return Math.min(mostMs, 500 * 2 ** attempt) * (0.5 + Math.random() / 2);
}
export class Http {
    constructor(base, key, tokens, timeoutMs, fetcher, onWarning) {
        this.base = base;
        this.key = key;
        this.tokens = tokens;
        this.timeoutMs = timeoutMs;
        this.fetcher = fetcher;
        this.onWarning = onWarning;
    }
    /** Calls a function. Reads, and calls with an idempotency key, are tried again. */
    async call({ fn, args, isRead, idempotencyKey, minSeq, known, signal }) {
        const inUrl = encodeURIComponent(args);
        const byGet = isRead && inUrl.length <= URL_ARGS_MAX;
        const headers = {};
        if (idempotencyKey)
            headers["Idempotency-Key"] = idempotencyKey;
        if (minSeq)
            headers["Ferry-Min-Seq"] = String(minSeq);
        if (known && byGet)
            headers["If-None-Match"] = `"${known}"`;
        const path = `/rpc/${encodeURIComponent(fn)}`;
        const request = byGet ? { path: `${path}?args=${inUrl}`, method: "GET" } : { path, method: "POST", body: args };
        const response = await this.#tried({ ...request, headers, signal }, Boolean(byGet || idempotencyKey));
        const seq = Number(response.headers.get("Ferry-Seq"));
        if (response.status === 304)
            return { data: undefined, seq, hash: known, same: true };
        const { data, _meta, warnings = [] } = response.json;
        for (const warning of warnings)
            this.onWarning(warning, fn);
        return { data, seq: _meta?.seq ?? seq, hash: _meta?.hash ?? "", same: false };
    }
    /** Finds out why no socket opens: throws what the hub says, or nothing if it would let it open. */
    async probe(path, timeoutMs) {
        // An answer of 426: it asks for the socket.
        await this.#tried({ path, method: "GET" }, false, timeoutMs).catch((error) => {
            if (error.status !== 426)
                throw error;
        });
    }
    async #tried(request, isRepeatable, timeoutMs = this.timeoutMs) {
        const deadline = new AbortController();
        const timer = setTimeout(() => deadline.abort(timedOut(request, timeoutMs)), Math.min(timeoutMs, TIMER_MAX_MS));
        const abort = () => deadline.abort(request.signal.reason);
        request.signal?.addEventListener("abort", abort);
        if (request.signal?.aborted)
            abort();
        const { signal } = deadline;
        // Not even getToken makes a call last longer.
        const over = new Promise((_, reject) => {
            const end = () => reject(signal.reason);
            if (signal.aborted)
                end();
            else
                signal.addEventListener("abort", end);
        });
        try {
            for (let attempt = 0;; attempt++) {
                try {
                    return await Promise.race([over, this.#once({ ...request, signal })]);
                }
                catch (error) {
                    if (signal.aborted || !isRepeatable || !error.retryable || attempt === RETRIES_MAX)
                        throw error;
                    await Promise.race([over, pause(Math.max(error.retryAfterMs, backoffMs(attempt)))]);
                }
            }
        }
        finally {
            clearTimeout(timer);
            request.signal?.removeEventListener("abort", abort);
        }
    }
    /** One try, and another one with a new token if the hub refuses the old one: it has run nothing then. */
    async #once(request) {
        const token = await this.tokens.get();
        const response = await this.#send(request, token);
        // A function that throws UNAUTHORIZED has run, and says why.
        if (response.status === 401 && token && !response.json.error) {
            const next = await this.tokens.renew(token);
            if (next && next !== token)
                return accepted(await this.#send(request, next));
        }
        return accepted(response);
    }
    async #send({ path, method, headers, body, signal }, token) {
        // The header also says that Ferry's own answers are understood.
        const all = { ...headers, "Ferry-Reactive": "false" };
        if (this.key)
            all["Ferry-Key"] = this.key;
        if (token)
            all.Authorization = `Bearer ${token}`;
        if (body !== undefined)
            all["Content-Type"] = "application/json";
        try {
            const response = await this.fetcher(this.base + path, { method, headers: all, body: body ?? null, signal: signal ?? null, cache: "no-store" });
            const text = await response.text();
            return { status: response.status, statusText: response.statusText, headers: response.headers, json: parsed(text) };
        }
        catch (cause) {
            throw new FerryError(0, "OFFLINE", `ferry: the hub cannot be reached at ${this.base}: ${cause?.message ?? cause}`, undefined, 0, { cause });
        }
    }
}
function parsed(text) {
    try {
        return JSON.parse(text) ?? {};
    }
    catch {
        return {};
    }
}
function accepted(received) {
    const { status, statusText, headers, json } = received;
    if (status < 300 || status === 304)
        return received;
    const denied = "ferry: the hub takes neither the API key nor the token";
    const message = json.error ?? (status === 401 ? denied : `ferry: the answer was ${status} ${statusText}`.trim());
    const code = json.code ?? (status === 401 ? "UNAUTHORIZED" : `HTTP_${status}`);
    const requestId = json.requestId ?? headers.get("X-Request-Id") ?? undefined;
    throw new FerryError(status, code, String(message), requestId, Number(headers.get("Retry-After")) * 1000 || 0);
}
function timedOut({ path }, timeoutMs) {
    return new FerryError(0, "TIMEOUT", `ferry: no answer of ${path.split("?")[0]} within ${timeoutMs} ms (timeoutMs)`);
}
function pause(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
}
