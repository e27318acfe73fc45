/** Requests to the hub: credential, time limits, errors. */
/** An answer other than 2xx, or none at all (status 0). */
export class HttpError extends Error {
    constructor(status, code, message, 
    /** How long the hub asks to wait, milliseconds. */
    retryAfterMs = 0) {
        super(message);
        this.status = status;
        this.code = code;
        this.retryAfterMs = retryAfterMs;
    }
}
/** The code of an answer to somebody else than the owner of what this device holds. */
export const OWNER_CHANGED = "OWNER_CHANGED";
/** Whose records an answer speaks of, and what the client knows in requests. */
export const OWNER = "Ferry-Owner";
const TIMEOUT_MS = 60_000;
export class Http {
    #token;
    constructor(base, getToken, fetcher, key) {
        this.base = base;
        this.getToken = getToken;
        this.fetcher = fetcher;
        this.key = key;
        /** Whether the hub has taken this credential, and so whose it is. */
        this.isAccepted = false;
    }
    /** Asks for a new credential before the next request. */
    forgetToken() {
        this.#token = undefined;
        this.isAccepted = false;
    }
    /** The body, and whose records it speaks of. */
    async json(path, call) {
        const signal = AbortSignal.any([call.signal, AbortSignal.timeout(TIMEOUT_MS)]);
        const response = await this.open(path, { ...call, signal });
        return { body: await offline(response.json()), owner: response.headers.get(OWNER) };
    }
    /** The response with a 2xx status. */
    async open(path, call) {
        this.#token ??= (await this.getToken()) ?? null;
        let response = await this.#send(path, call);
        if (response.status === 401) {
            const token = await this.getToken(this.#token ?? undefined);
            if (token && token !== this.#token) {
                this.#token = token;
                response = await this.#send(path, call);
            }
        }
        if (!response.ok)
            throw await failure(response);
        this.isAccepted = true;
        return response;
    }
    #send(path, { device, owner, body, signal }) {
        const headers = { "X-Client-Id": device, "Content-Type": "application/json" };
        if (owner)
            headers[OWNER] = owner;
        if (this.key)
            headers["Ferry-Key"] = this.key;
        if (this.#token)
            headers.Authorization = `Bearer ${this.#token}`;
        const method = body ? "POST" : "GET";
        return offline(this.fetcher(this.base + path, { method, headers, body: body ?? null, signal, cache: "no-store" }));
    }
}
/** A request that failed without an answer has status 0. */
function offline(promise) {
    return promise.catch((error) => {
        throw new HttpError(0, "offline", String(error));
    });
}
async function failure(response) {
    // A proxy's answer is not JSON: then the status is all there is.
    const body = (await response.json().catch(() => null));
    const { code = "", reason, message = response.statusText } = body?.error ?? {};
    return new HttpError(response.status, reason === OWNER_CHANGED ? reason : code, message, Number(response.headers.get("Retry-After")) * 1000 || 0);
}
