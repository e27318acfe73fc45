/** Values of a log line as text. */
export function formatted(values: readonly unknown[]): string {
  return values.map((value) => (typeof value === "string" ? value : describe(value))).join(" ");
}

function describe(value: unknown): string {
  if (value instanceof Error) return value.stack ? `${value.name}: ${value.message}\n${value.stack}` : String(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return `[function ${value.name || "anonymous"}]`;
  if (value === null || typeof value !== "object") return String(value);
  try {
    return JSON.stringify(plain(value)) ?? String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

function plain(value: object): unknown {
  if (value instanceof Map) return Object.fromEntries(value);
  return value instanceof Set ? [...value] : value;
}
