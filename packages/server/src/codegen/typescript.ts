// The TypeScript of the project that is checked: its types are then those that the developer's editor shows.
import { createRequire } from "node:module";
import { join } from "node:path";

export type TypeScript = typeof import("typescript");

/** Nothing can be checked; the message says what to do. */
export class Fatal extends Error {}

/**
 * TypeScript as the project has it installed.
 * @throws Fatal without one that has a language service in JavaScript.
 */
export function loadTypeScript(project: string): TypeScript {
  const require = createRequire(join(project, "package.json"));
  let ts: TypeScript;
  try {
    ts = require("typescript");
  } catch {
    throw new Fatal("TypeScript is not installed here: npm install --save-dev typescript@5.9.3");
  }
  if (typeof ts.createLanguageService !== "function") {
    throw new Fatal(`TypeScript ${ts.version} has no language service in JavaScript: npm install --save-dev typescript@5.9.3`);
  }
  return ts;
}
