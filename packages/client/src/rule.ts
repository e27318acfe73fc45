/** The rule of merging (REC-01), the same as the hub's. */

import { blake3 } from "./blake3.ts";
import { canonical, sameValue, toJson } from "./json.ts";

/** When a field was written (nine-digit instant) and by which device. */
export type Stamp = readonly [at: string, by: string];

/** Compares two strings by their UTF-8 bytes. UTF-16 order differs where surrogates meet U+E000 to U+FFFF. */
function compareBytes(a: string, b: string): number {
  if (a === b) return 0;
  const left = [...a];
  const right = [...b];
  const at = left.findIndex((character, i) => character !== right[i]);
  if (at < 0) return -1;
  return right[at] === undefined || left[at]!.codePointAt(0)! > right[at]!.codePointAt(0)! ? 1 : -1;
}

const digest = (value: unknown) => blake3(new TextEncoder().encode(canonical(toJson(value))));

/** Whether the write (`stamp`, `value`) takes the place of (`held`, `heldValue`). */
export function wins(stamp: Stamp, value: unknown, held: Stamp | undefined, heldValue: unknown): boolean {
  if (!held) return true;
  if (stamp[0] !== held[0]) return stamp[0] > held[0];
  const writers = compareBytes(stamp[1], held[1]);
  if (writers !== 0) return writers > 0;
  return !sameValue(value, heldValue) && digest(value) > digest(heldValue);
}
