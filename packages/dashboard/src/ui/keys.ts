/** Keys that work on every page, but not while somebody types. */

import { useEffect, useRef } from "react";

export function useKeys(pages: [string, () => void][], help: () => void): void {
  const current = useRef({ pages, help });
  current.current = { pages, help };
  useEffect(() => {
    let afterG = false;
    const press = (event: KeyboardEvent) => {
      const typing = (event.target as HTMLElement).closest("input, textarea, select, dialog[open], [data-typing]");
      if (typing || event.metaKey || event.ctrlKey || event.altKey) return;
      const { pages, help } = current.current;
      const page = afterG ? pages.find(([letter]) => letter === event.key) : undefined;
      afterG = event.key === "g";
      if (page) page[1]();
      else if (event.key === "?") help();
      else if (event.key === "/") {
        const filter = document.querySelector<HTMLElement>("[data-filter]");
        if (filter) {
          event.preventDefault();
          filter.focus();
        }
      }
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}
