import { currentCall } from "./call.js";
/** Checks a JWT as the hub checks those of callers (FUN-55). `env` is taken for the sake of EdgePod's programs, and not used. */
export async function verifyJwt(token, _env, options = {}) {
    return currentCall("verifyJwt()").host.verify(String(token), options.issuer, options.audience);
}
/** What `ctx.signJwt` is: `null` unless the database signs its own tokens. */
export function getJwtSigner() {
    const call = currentCall("getJwtSigner()");
    if (!call.request.canSign)
        return null;
    return async (claims, expiresIn = "1h") => {
        call.use("ctx.signJwt");
        call.host.used("sign");
        return call.host.sign(JSON.stringify(claims), expiresIn);
    };
}
