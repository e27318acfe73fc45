// Yours to change. Pages import this file, with .generated/api.d.ts behind it, and nothing else of this folder.
import { createClient } from "@ferry/client/functions";

export type { Api } from "./.generated/api";

/** Where the hub is: the one that `npm run dev` starts, or what FERRY_URL and FERRY_KEY said when the page was built. */
export const hub = { url: import.meta.env.FERRY_URL, key: import.meta.env.FERRY_KEY };

/**
 * The token of whoever is signed in, or `null` for nobody. Records and functions both ask for it, and again with one that the
 * hub has refused: return a fresh one then.
 */
export async function getToken(_refused?: string): Promise<string | null> {
  return null;
}

export const client = createClient({ ...hub, getToken });
