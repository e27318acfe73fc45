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

/** Gives the credential; `refused` is one that the hub did not take, if there was one. */
export type GetToken = (refused?: string) => string | null | undefined | Promise<string | null | undefined>;

type Call = { body?: string; signal: AbortSignal };

const TIMEOUT_MS = 60_000;

export class Http {
  #token: string | null | undefined;

  constructor(
    private readonly base: string,
    private readonly getToken: GetToken,
    private readonly fetcher: typeof fetch,
  ) {}

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
    this.#token ??= (await this.getToken()) ?? null;
    let response = await this.#send(path, device, call);
    if (response.status === 401) {
      const token = await this.getToken(this.#token ?? undefined);
      if (token && token !== this.#token) {
        this.#token = token;
        response = await this.#send(path, device, call);
      }
    }
    if (!response.ok) throw await failure(response);
    return response;
  }

  #send(path: string, device: string, { body, signal }: Call): Promise<Response> {
    const headers: Record<string, string> = { "X-Client-Id": device, "Content-Type": "application/json" };
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
  const body = (await response.json().catch(() => null)) as { error?: { code?: string; message?: string } } | null;
  const { code = "", message = response.statusText } = body?.error ?? {};
  return new HttpError(response.status, code, message, Number(response.headers.get("Retry-After")) * 1000 || 0);
}
