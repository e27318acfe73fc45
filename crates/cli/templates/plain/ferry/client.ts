// Yours to change. Pages import this file, with .generated/api.d.ts behind it, and nothing else of this folder.
import { createClient } from "@ferry/client/functions";

export type { Api } from "./.generated/api";

/**
 * The token of whoever is signed in, or `null` for nobody; asked for again with one that the hub has refused: return a fresh one
 * then.
 */
export async function getToken(_refused?: string): Promise<string | null> {
  return null;
}

// The Vite plugin fills in where the hub is: the one of `npm run dev`, or what FERRY_URL and FERRY_KEY say at a build.
export const client = createClient({ url: import.meta.env.FERRY_URL, key: import.meta.env.FERRY_KEY, getToken });
