export { getJwtSigner, type JwtSigner, type Verified, verifyJwt } from "./jwt.ts";
export { action, type Checked, type FunctionKind, type Handler, internal, mutation, query } from "./kinds.ts";
export { createMiddleware, type Middleware, type Next } from "./middleware.ts";
export type { EdgePodContext, FerryContext, FerryDatabase, FerryTransaction, Log, UnsafeDatabase, } from "./types.ts";
