import type { FerryContext } from "@ferry/server";
import type * as schema from "./schema";

// Said once: `ctx` knows the tables, and the secrets of .env, wherever a handler is written.
declare module "@ferry/server" {
  interface Register {
    schema: typeof schema;
    env: Record<string, string>;
  }
}

export type Context = FerryContext;

/** What a handler gets behind the middleware `signedIn`. */
export type SignedInContext = Context & { user: { sub: string } };
