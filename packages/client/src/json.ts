/** Values as the wire knows them. */

/** What a field may hold. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/**
 * The value as every other device will see it: `undefined` and numbers that JSON lacks are `null`, a `Date` is its
 * text.
 * @throws TypeError for what JSON cannot hold at all: a BigInt, an object that contains itself.
 */
export function toJson(value: unknown): Json {
  // Most values are texts: spare them the detour.
  if (typeof value === "string") return value;
  return JSON.parse(JSON.stringify(value) ?? "null") as Json;
}

/** The canonical text of a value: RFC 8785. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (value !== null && typeof value === "object") {
    const members = value as Record<string, unknown>;
    const names = Object.keys(members).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(members[name])}`).join()}}`;
  }
  return JSON.stringify(value) ?? "null";
}

/** Whether two values are equal on the wire, where an absent member is `null`. */
export function sameValue(a: unknown, b: unknown): boolean {
  return a === b || canonical(toJson(a)) === canonical(toJson(b));
}
