/** `@ferry/client/functions`: calls a Ferry hub's functions, and keeps their results fresh. */

export {
  createClient, FerryClient, type ClientOptions, type MutateOptions, type Observed, type OptimisticCache, type QueryOptions,
} from "./functions/client.ts";
export { FerryError } from "./functions/error.ts";
export type { QueryResult } from "./functions/live.ts";
export type { ConnectionState, Status, StatusStore } from "./functions/status.ts";
// With a star: only so a project's generated types can add to `Register`.
export type * from "./functions/types.ts";
export type { GetToken } from "./http.ts";
