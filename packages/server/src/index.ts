// What functions of a hub import.
export { getJwtSigner, type JwtSigner, type Verified, verifyJwt } from "./jwt.ts";
export {
  action, type Checked, type Declare, type DeclareInternal, type FunctionKind, type Handler, internal, type Mark, mutation, query,
} from "./kinds.ts";
export { createMiddleware, type Middleware, type Next, type Wrapper } from "./middleware.ts";
export type {
  Claims, EdgePodContext, FerryContext, FerryDatabase, FerryTransaction, Log, UnsafeDatabase,
} from "./types.ts";

/**
 * What a project says of itself once, so that `ctx` is typed wherever nothing else is written:
 * `schema`, and, where they are more than the defaults, `env`, `variables` and `user`.
 */
export interface Register {}
