/** A document for React in Node; all else (fetch, timers) stays Node's own. */

import { Window } from "happy-dom";
import type { Root } from "react-dom/client";
import type { ReactNode } from "react";

const window = new Window({ url: "http://page.example" });
Object.assign(globalThis, { window, document: window.document, navigator: window.navigator });

const { createRoot } = await import("react-dom/client");
const roots: Root[] = [];

/** Shows it; gives what is to be read of it. */
export function show(node: ReactNode): { text: () => string; again: (node: ReactNode) => void } {
  const element = document.createElement("div");
  const root = createRoot(element, { onUncaughtError: () => {}, onCaughtError: () => {} });
  roots.push(root);
  root.render(node);
  return { text: () => element.textContent ?? "", again: (next) => root.render(next) };
}

/** Takes all away that is shown. */
export function clear(): void {
  for (const root of roots.splice(0)) root.unmount();
}
