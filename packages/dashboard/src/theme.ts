/** Light or dark, as somebody chose for this browser; else as the system has it. */

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "ferry-theme";

/** What was chosen. A browser that keeps nothing has what the system has. */
export function theme(): Theme {
  try {
    return THEMES.find((one) => one === localStorage.getItem(KEY)) ?? "system";
  } catch {
    return "system";
  }
}

function show(chosen: Theme): void {
  document.documentElement.dataset.theme = chosen;
}

export function choose(chosen: Theme): void {
  show(chosen);
  try {
    if (chosen === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, chosen);
  } catch {
    // It holds until the page is closed.
  }
}

show(theme());
