/** Requests to the hub: credential, time limits, errors. */

/** An answer other than 2xx, or none at all (status 0). */
export class HttpError extends Error {
  readonly status: number;
  readonly code: string;
  /** How long the hub asks to wait, milliseconds. */
  readonly retryAfterMs: number;

  constructor(status: number, code: string, message: string, retryAfterMs = 0) {
    super(message);
    this.name = "HttpError";
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Gives the credential; `refused` is one that the hub did not take, if there was one. */
export type GetToken = (refused?: string) => string | null | undefined | Promise<string | null | undefined>;

type Call = { method?: string; body?: string; signal: AbortSignal; accept?: string };

const TIMEOUT_MS = 60_000;

export class Http {
  readonly #base: string;
  readonly #getToken: GetToken;
  readonly #fetch: typeof fetch;
  #token: string | null | undefined;

  constructor(base: string, getToken: GetToken, fetcher: typeof fetch) {
    this.#base = base;
    this.#getToken = getToken;
    this.#fetch = fetcher;
  }

  /** Asks for a new credential before the next request. */
  forgetToken(): void {
    this.#token = undefined;
  }

  async json<T>(path: string, device: string, call: Call): Promise<T> {
    const signal = AbortSignal.any([call.signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const response = await this.open(path, device, { ...call, signal });
    return offline(response.json() as Promise<T>);
  }

  /** The response with a 2xx status. */
  async open(path: string, device: string, call: Call): Promise<Response> {
    this.#token ??= (await this.#getToken()) ?? null;
    let response = await this.#send(path, device, call);
    if (response.status === 401) {
      const token = await this.#getToken(this.#token ?? undefined);
      if (token && token !== this.#token) {
        this.#token = token;
        response = await this.#send(path, device, call);
      }
    }
    if (!response.ok) throw await failure(response);
    return response;
  }

  #send(path: string, device: string, { method = "GET", body, signal, accept = "application/json" }: Call) {
    const headers: Record<string, string> = { "X-Client-Id": device, "Content-Type": "application/json", Accept: accept };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    return offline(this.#fetch(this.#base + path, { method, headers, body: body ?? null, signal, cache: "no-store" }));
  }
}

/** A request that failed without an answer has status 0. */
function offline<T>(promise: Promise<T>): Promise<T> {
  return promise.catch((error: unknown) => {
    throw new HttpError(0, "offline", String(error));
  });
}

async function failure(response: Response): Promise<HttpError> {
  const text = await response.text().catch(() => "");
  let error: { code?: string; message?: string } = {};
  try {
    error = (JSON.parse(text) as { error?: typeof error }).error ?? {};
  } catch {
    // A proxy's answer: its text is all there is.
  }
  const seconds = Number(response.headers.get("Retry-After"));
  const message = error.message ?? text.slice(0, 200) ?? response.statusText;
  return new HttpError(response.status, error.code ?? "", message, seconds > 0 ? seconds * 1000 : 0);
}
