import type { Verified } from "./host.ts";
export type { Verified } from "./host.ts";
/** Signs claims; `expiresIn` is `30s`, `15m`, `1h`, `7d`. */
export type JwtSigner = (claims: Record<string, unknown>, expiresIn?: string) => Promise<string>;
/** Checks a JWT as the hub checks those of callers (FUN-55). `env` is taken for the sake of EdgePod's programs, and not used. */
export declare function verifyJwt(token: string, _env?: unknown, options?: {
    issuer?: string;
    audience?: string;
}): Promise<Verified>;
/** What `ctx.signJwt` is: `null` unless the database signs its own tokens. */
export declare function getJwtSigner(): JwtSigner | null;
