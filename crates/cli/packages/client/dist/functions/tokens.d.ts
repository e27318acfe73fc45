/** The token of a client: asked for when it is needed, renewed before it expires and when the hub refuses it. */
import type { GetToken } from "../http.ts";
/** Longest time that a timer can wait, milliseconds. */
export declare const TIMER_MAX_MS: number;
export declare class Tokens {
    #private;
    private readonly getToken;
    /** There is another token; `isOther`: it is another user's. */
    private readonly onChange;
    private readonly userOf;
    constructor(getToken: GetToken | undefined, 
    /** There is another token; `isOther`: it is another user's. */
    onChange: (token: string | null, isOther: boolean) => void, userOf?: (token: string) => string);
    /** The token; null: none. */
    get(): Promise<string | null>;
    /** A token in place of `refused`, which no longer holds or soon will not. It may be the same. */
    renew(refused: string | null): Promise<string | null>;
    /** Asks anew: somebody has logged in or out. */
    change(): Promise<void>;
    /** The hub says until when the token holds, Unix seconds. */
    expires(exp: number): void;
    close(): void;
}
/** Whom a token names: a JWT's `sub`, else its claims without times; of another kind of token nothing is known. */
export declare function userOfJwt(token: string): string;
