// What functions of a hub import.
export { getJwtSigner, verifyJwt } from "./jwt.js";
export { action, internal, mutation, query, } from "./kinds.js";
export { createMiddleware } from "./middleware.js";
