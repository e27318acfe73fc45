/** Signing in by a provider: the browser goes there and comes back to this page, which proves that it began it. */

import { Refusal, rpc } from "./api.ts";
import { href } from "./route.ts";

/** Where the proof waits while the browser is away; it is removed when that comes back. */
const KEPT = "ferry-sign-in";

const NAMES: Record<string, string> = { github: "GitHub", google: "Google" };
export const providerName = (provider: string): string => NAMES[provider] ?? provider;

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Sends the browser to the provider. */
export async function signInBy(provider: string): Promise<void> {
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const begun = await rpc<{ redirectUrl: string }>("StartOAuth", { provider, clientChallenge: base64url(new Uint8Array(hash)) });
  sessionStorage.setItem(KEPT, verifier);
  location.assign(begun.redirectUrl);
}

/** Signs in, if the browser comes back from a provider. */
export async function cameBack(): Promise<void> {
  const brought = new URLSearchParams(location.hash.slice(1));
  const [state, code] = [brought.get("state"), brought.get("code")];
  if (location.pathname !== href("sign-in") || !state || !code) return;
  const clientVerifier = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  // Once: it is of no use to whoever finds it in the history.
  history.replaceState(null, "", href());
  if (!clientVerifier) {
    throw new Refusal("This sign-in was begun in another tab, or at another address of this hub: begin it here.", 403, "elsewhere", "");
  }
  await rpc("CompleteOAuth", { state, code, clientVerifier, label: "dashboard" });
}
