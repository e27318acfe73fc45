/** Arguments as JSON with sorted keys: equal ones are the same text. */
export function canonical(args) {
    const text = JSON.stringify(args, (_, value) => value && typeof value === "object" && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
        : value);
    return text ?? "{}";
}
