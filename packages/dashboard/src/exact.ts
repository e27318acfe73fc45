/** JSON whose long integers keep their digits. */

import type { Cell } from "./ui/cells.tsx";

type Source = { source?: string };
type Raw = { rawJSON?: (text: string) => unknown };

/** As JSON.parse; where the browser can, integers that numbers do not hold stay as they are written. */
export function exactJson(text: string): unknown {
  const { rawJSON } = JSON as unknown as Raw;
  if (!rawJSON) return JSON.parse(text);
  const keep = (_: string, value: unknown, context?: Source): unknown =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "") ? rawJSON(context!.source!) : value;
  return JSON.parse(text, keep as (key: string, value: unknown) => unknown);
}

/** A value of JSON as it stands in a row: a text as itself, what holds others in one line. */
export const cellOf = (value: unknown): Cell =>
  value === null || typeof value === "string" || typeof value === "number" ? value : shown(value);

/** A value of JSON in one line. */
export const shown = (value: unknown): string => JSON.stringify(value) ?? "";
