/** Where the page stands: a path below the page's own, kept in the address bar. */

import { useSyncExternalStore } from "react";

const HOME = new URL(".", import.meta.env.DEV ? `${location.origin}/_/` : import.meta.url).pathname;
const listeners = new Set<() => void>();

const changed = () => listeners.forEach((listener) => listener());
addEventListener("popstate", changed);

/** The parts of the path: `databases/x` is two. */
export function useRoute(): string[] {
  const path = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    () => location.pathname,
  );
  return path.slice(HOME.length).split("/").filter(Boolean).map(decoded);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const href = (...parts: string[]): string => HOME + parts.map(encodeURIComponent).join("/");

export function go(...parts: string[]): void {
  history.pushState(null, "", href(...parts));
  scrollTo(0, 0);
  changed();
}
