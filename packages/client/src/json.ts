/** Values as the wire knows them, and as the application does (REC-67). */

/** What a field may hold. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Fields that hold what JSON lacks: dates travel as RFC 3339, bytes as base64. */
export type Kinds = Record<string, "date" | "bytes">;

const CLASSES = { date: "Date", bytes: "Uint8Array" };

/** The class of a value, of whatever realm. */
const classOf = (value: unknown) => Object.prototype.toString.call(value).slice(8, -1);

/**
 * The value as every other device will get it. Members that are `undefined` are as good as absent.
 * @throws TypeError for what would arrive as something else.
 */
export function toJson(value: unknown): Json {
  if (value === null || ["string", "boolean"].includes(typeof value) || Number.isFinite(value)) return value as Json;
  const name = classOf(value);
  if (name === "Array") return Array.from(value as unknown[], toJson);
  if (name !== "Object") throw new TypeError(`JSON cannot carry ${name === "Number" ? value : name}; Date and Uint8Array travel where \`types\` declares them`);
  const members = Object.entries(value as object).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.map(([name, member]) => [name, toJson(member)]));
}

/**
 * A field as it travels.
 * @throws TypeError for what cannot travel, or is not of the kind declared.
 */
export function encode(value: unknown, kind: Kinds[string] | undefined): Json {
  if (value === undefined || value === null) return null;
  if (!kind) return toJson(value);
  if (classOf(value) !== CLASSES[kind]) throw new TypeError(`\`types\` declares it as ${kind}, so it must be a ${CLASSES[kind]}`);
  return kind === "date" ? (value as Date).toISOString() : base64(value as Uint8Array);
}

/** A field as the application has it. What is not of the kind declared stays as it came. */
export function decode(value: Json, kind: Kinds[string] | undefined): unknown {
  if (!kind || typeof value !== "string") return value;
  try {
    if (kind === "bytes") return Uint8Array.from(atob(value), (char) => char.charCodeAt(0));
    const date = new Date(value);
    return isNaN(+date) ? value : date;
  } catch {
    return value;
  }
}

/** What a value that was stored travels as, whatever it is. */
export function storedToJson(value: unknown): Json {
  return classOf(value) === "Uint8Array" ? base64(value as Uint8Array) : (JSON.parse(JSON.stringify(value) ?? "null") as Json);
}

function base64(bytes: Uint8Array): string {
  let chars = "";
  for (const byte of bytes) chars += String.fromCharCode(byte);
  return btoa(chars);
}

/** The canonical text of a value: RFC 8785 of what would travel. */
export function canonical(value: unknown): string {
  const name = classOf(value);
  if (name === "Array") return `[${Array.from(value as unknown[], canonical).join()}]`;
  if (name === "Uint8Array") return JSON.stringify(base64(value as Uint8Array));
  if (name !== "Object") return JSON.stringify(value) ?? "null";
  const members = value as Record<string, unknown>;
  const names = Object.keys(members).filter((name) => members[name] !== undefined);
  return `{${names.sort().map((name) => `${JSON.stringify(name)}:${canonical(members[name])}`).join()}}`;
}

/** Whether two values are equal on the wire, where an absent member is `null`. */
export function sameValue(a: unknown, b: unknown): boolean {
  return a === b || canonical(a) === canonical(b);
}
