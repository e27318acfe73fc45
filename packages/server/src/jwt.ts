import { currentCall } from "./call.ts";
import type { Verified } from "./host.ts";

export type { Verified } from "./host.ts";
/** Signs claims; `expiresIn` is `30s`, `15m`, `1h`, `7d`. */
export type JwtSigner = (claims: Record<string, unknown>, expiresIn?: string) => Promise<string>;

/** Checks a JWT as the hub checks those of callers (FUN-55). `env` is taken for the sake of EdgePod's programs, and not used. */
export async function verifyJwt(
  token: string,
  _env?: unknown,
  options: { issuer?: string; audience?: string } = {},
): Promise<Verified> {
  return currentCall("verifyJwt()").host.verify(String(token), options.issuer, options.audience);
}

/** What `ctx.signJwt` is: `null` unless the database signs its own tokens. */
export function getJwtSigner(): JwtSigner | null {
  const call = currentCall("getJwtSigner()");
  if (!call.request.canSign) return null;
  return async (claims, expiresIn = "1h") => {
    call.use("ctx.signJwt");
    call.host.used("sign");
    return call.host.sign(JSON.stringify(claims), expiresIn);
  };
}
