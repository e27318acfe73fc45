/** What a mail leads to: the page it names, with the code behind `#`, which no browser sends. */

import { href } from "./route.ts";

export type Linked = { page: "verify" | "invite" | "reset" | "forgot"; code: string };

const PAGES = ["verify", "invite", "reset"] as const;

/** The page to which a mail led the browser. Its code leaves the address bar and the history: it opens an account. */
export function linkedPage(): Linked | undefined {
  const page = PAGES.find((one) => location.pathname === href(one));
  const code = location.hash.slice(1);
  if (!page) return undefined;
  history.replaceState(null, "", href());
  return { page, code };
}
