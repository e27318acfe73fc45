/** `@ferry/client/functions`: calls a Ferry hub's functions, and keeps their results fresh. */
export { createClient, FerryClient, } from "./functions/client.js";
export { FerryError } from "./functions/error.js";
