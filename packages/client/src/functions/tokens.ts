/** The token of a client: asked for when it is needed, renewed before it expires and when the hub refuses it. */

import type { GetToken } from "../http.ts";
import { FerryError } from "./error.ts";

/** A token is renewed this long before it expires, or after three quarters of its time, milliseconds. */
const MARGIN_MS = 60_000;
/** How soon it is tried again where nothing new came, or the clock of this device is wrong, milliseconds. */
const AGAIN_MS = 20_000;
/** Longest time that a timer can wait, milliseconds. */
export const TIMER_MAX_MS = 2 ** 31 - 1;

export class Tokens {
  #token: string | null | undefined;
  #asking: Promise<string | null> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly getToken: GetToken | undefined,
    /** There is another token; `isOther`: it is another user's. */
    private readonly onChange: (token: string | null, isOther: boolean) => void,
    private readonly userOf: (token: string) => string = userOfJwt,
  ) {}

  /** The token; null: none. */
  async get(): Promise<string | null> {
    return this.#token === undefined ? this.#ask() : this.#token;
  }

  /** A token in place of `refused`, which no longer holds or soon will not. It may be the same. */
  async renew(refused: string | null): Promise<string | null> {
    if (this.#asking) return this.#asking;
    // Somebody else has renewed it already.
    if (this.#token !== undefined && this.#token !== refused) return this.#token;
    return this.#ask(refused ?? undefined);
  }

  /** Asks anew: somebody has logged in or out. */
  async change(): Promise<void> {
    await this.#asking?.catch(() => {});
    await this.#ask();
  }

  /** The hub says until when the token holds, Unix seconds. */
  expires(exp: number): void {
    const left = exp * 1000 - Date.now();
    const wait = left > 0 ? Math.max(left - MARGIN_MS, left * 0.75) : AGAIN_MS;
    this.#renewIn(wait);
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #renewIn(ms: number): void {
    clearTimeout(this.#timer);
    const before = this.#token;
    this.#timer = setTimeout(async () => {
      const next = await this.renew(before ?? null).catch(() => before);
      if (next === before) this.#renewIn(AGAIN_MS);
    }, Math.min(ms, TIMER_MAX_MS));
  }

  #ask(refused?: string): Promise<string | null> {
    return (this.#asking ??= this.#asked(refused).finally(() => (this.#asking = undefined)));
  }

  async #asked(refused?: string): Promise<string | null> {
    let token: string | null;
    try {
      token = (await this.getToken?.(refused)) || null;
    } catch (cause) {
      throw new FerryError(0, "TOKEN", `ferry: getToken failed: ${(cause as Error)?.message ?? cause}`, undefined, 0, { cause });
    }
    const before = this.#token;
    this.#token = token;
    if (before !== undefined && before !== token) this.onChange(token, this.#user(before) !== this.#user(token));
    return token;
  }

  #user(token: string | null): string {
    return token === null ? "" : this.userOf(token);
  }
}

/** Whom a token names: a JWT's `sub`, else its claims without times; of another kind of token nothing is known. */
export function userOfJwt(token: string): string {
  try {
    const { sub, iat, exp, nbf, jti, ...claims } = JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/")));
    return JSON.stringify(sub ?? claims);
  } catch {
    return token;
  }
}
