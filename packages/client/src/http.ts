/** Requests to the hub: credential, time limits, errors. */

/** An answer other than 2xx, or none at all (status 0). */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** How long the hub asks to wait, milliseconds. */
    readonly retryAfterMs = 0,
  ) {
    super(message);
  }
}

/** The code of an answer to somebody else than the owner of what this device holds. */
export const OWNER_CHANGED = "OWNER_CHANGED";

/** Gives the credential; `refused` is one that the hub did not take, if there was one. */
export type GetToken = (refused?: string) => string | null | undefined | Promise<string | null | undefined>;

/** `owner`: whose records the device holds, as far as it knows; the hub refuses others (REC-65). */
type Call = { device: string; owner?: string | undefined; body?: string; signal: AbortSignal };

/** Whose records an answer speaks of, and what the client knows in requests. */
export const OWNER = "Ferry-Owner";

const TIMEOUT_MS = 60_000;

export class Http {
  #token: string | null | undefined;
  /** Whether the hub has taken this credential, and so whose it is. */
  isAccepted = false;

  constructor(
    private readonly base: string,
    private readonly getToken: GetToken,
    private readonly fetcher: typeof fetch,
    private readonly key?: string,
  ) {}

  /** Asks for a new credential before the next request. */
  forgetToken(): void {
    this.#token = undefined;
    this.isAccepted = false;
  }

  /** The body, and whose records it speaks of. */
  async json<T>(path: string, call: Call): Promise<{ body: T; owner: string | null }> {
    const signal = AbortSignal.any([call.signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const response = await this.open(path, { ...call, signal });
    return { body: await offline(response.json() as Promise<T>), owner: response.headers.get(OWNER) };
  }

  /** The response with a 2xx status. */
  async open(path: string, call: Call): Promise<Response> {
    this.#token ??= (await this.getToken()) ?? null;
    let response = await this.#send(path, call);
    if (response.status === 401) {
      const token = await this.getToken(this.#token ?? undefined);
      if (token && token !== this.#token) {
        this.#token = token;
        response = await this.#send(path, call);
      }
    }
    if (!response.ok) throw await failure(response);
    this.isAccepted = true;
    return response;
  }

  #send(path: string, { device, owner, body, signal }: Call): Promise<Response> {
    const headers: Record<string, string> = { "X-Client-Id": device, "Content-Type": "application/json" };
    if (owner) headers[OWNER] = owner;
    if (this.key) headers["Ferry-Key"] = this.key;
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    const method = body ? "POST" : "GET";
    return offline(this.fetcher(this.base + path, { method, headers, body: body ?? null, signal, cache: "no-store" }));
  }
}

/** A request that failed without an answer has status 0. */
function offline<T>(promise: Promise<T>): Promise<T> {
  return promise.catch((error: unknown) => {
    throw new HttpError(0, "offline", String(error));
  });
}

async function failure(response: Response): Promise<HttpError> {
  // A proxy's answer is not JSON: then the status is all there is.
  const body = (await response.json().catch(() => null)) as { error?: Record<string, string> } | null;
  const { code = "", reason, message = response.statusText } = body?.error ?? {};
  return new HttpError(response.status, reason === OWNER_CHANGED ? reason : code, message, Number(response.headers.get("Retry-After")) * 1000 || 0);
}
