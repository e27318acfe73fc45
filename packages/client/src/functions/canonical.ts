/** Arguments as JSON with sorted keys: equal ones are the same text. */
export function canonical(args: unknown): string {
  const text = JSON.stringify(args, (_, value: unknown) =>
    value && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  ) as string | undefined;
  return text ?? "{}";
}
