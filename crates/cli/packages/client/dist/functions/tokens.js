/** The token of a client: asked for when it is needed, renewed before it expires and when the hub refuses it. */
import { FerryError } from "./error.js";
/** A token is renewed this long before it expires, or after three quarters of its time, milliseconds. */
const MARGIN_MS = 60_000;
/** How soon it is tried again where nothing new came, or the clock of this device is wrong, milliseconds. */
const AGAIN_MS = 20_000;
/** Longest time that a timer can wait, milliseconds. */
export const TIMER_MAX_MS = 2 ** 31 - 1;
export class Tokens {
    #token;
    #asking;
    #timer;
    constructor(getToken, 
    /** There is another token; `isOther`: it is another user's. */
    onChange, userOf = userOfJwt) {
        this.getToken = getToken;
        this.onChange = onChange;
        this.userOf = userOf;
    }
    /** The token; null: none. */
    async get() {
        return this.#token === undefined ? this.#ask() : this.#token;
    }
    /** A token in place of `refused`, which no longer holds or soon will not. It may be the same. */
    async renew(refused) {
        if (this.#asking)
            return this.#asking;
        // Somebody else has renewed it already.
        if (this.#token !== undefined && this.#token !== refused)
            return this.#token;
        return this.#ask(refused ?? undefined);
    }
    /** Asks anew: somebody has logged in or out. */
    async change() {
        await this.#asking?.catch(() => { });
        await this.#ask();
    }
    /** The hub says until when the token holds, Unix seconds. */
    expires(exp) {
        const left = exp * 1000 - Date.now();
        const wait = left > 0 ? Math.max(left - MARGIN_MS, left * 0.75) : AGAIN_MS;
        this.#renewIn(wait);
    }
    close() {
        clearTimeout(this.#timer);
    }
    #renewIn(ms) {
        clearTimeout(this.#timer);
        const before = this.#token;
        this.#timer = setTimeout(async () => {
            const next = await this.renew(before ?? null).catch(() => before);
            if (next === before)
                this.#renewIn(AGAIN_MS);
        }, Math.min(ms, TIMER_MAX_MS));
    }
    #ask(refused) {
        return (this.#asking ??= this.#asked(refused).finally(() => (this.#asking = undefined)));
    }
    async #asked(refused) {
        let token;
        try {
            token = (await this.getToken?.(refused)) || null;
        }
        catch (cause) {
            throw new FerryError(0, "TOKEN", `ferry: getToken failed: ${cause?.message ?? cause}`, undefined, 0, { cause });
        }
        const before = this.#token;
        this.#token = token;
        if (before !== undefined && before !== token)
            this.onChange(token, this.#user(before) !== this.#user(token));
        return token;
    }
    #user(token) {
        return token === null ? "" : this.userOf(token);
    }
}
/** Whom a token names: a JWT's `sub`, else its claims without times; of another kind of token nothing is known. */
export function userOfJwt(token) {
    try {
        const { sub, iat, exp, nbf, jti, ...claims } = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
        return JSON.stringify(sub ?? claims);
    }
    catch {
        return token;
    }
}
