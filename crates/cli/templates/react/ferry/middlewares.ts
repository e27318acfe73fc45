import { createMiddleware } from "@ferry/server";
import type { Context, SignedInContext } from "./types";

/** Lets only callers in whose token the hub has checked: `mutation(signedIn(async (ctx, args: …) => ctx.user.sub))`. */
export const signedIn = createMiddleware<Context, SignedInContext>((ctx, _args, next) => {
  if (!ctx.user?.sub) throw new Error("UNAUTHORIZED: sign in first");
  return next();
});
