/** Values as the wire knows them, and as the application does (REC-67). */
const CLASSES = { date: "Date", bytes: "Uint8Array" };
/** The class of a value, of whatever realm. */
const classOf = (value) => Object.prototype.toString.call(value).slice(8, -1);
/**
 * The value as every other device will get it. Members that are `undefined` are as good as absent.
 * @throws TypeError for what would arrive as something else.
 */
export function toJson(value) {
    if (value === null || ["string", "boolean"].includes(typeof value) || Number.isFinite(value))
        return value;
    const name = classOf(value);
    if (name === "Array")
        return Array.from(value, toJson);
    if (name !== "Object")
        throw new TypeError(`JSON cannot carry ${name === "Number" ? value : name}; Date and Uint8Array travel where \`types\` declares them`);
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return Object.fromEntries(members.map(([name, member]) => [name, toJson(member)]));
}
/**
 * A field as it travels.
 * @throws TypeError for what cannot travel, or is not of the kind declared.
 */
export function encode(value, kind) {
    if (value === undefined || value === null)
        return null;
    if (!kind)
        return toJson(value);
    if (classOf(value) !== CLASSES[kind])
        throw new TypeError(`\`types\` declares it as ${kind}, so it must be a ${CLASSES[kind]}`);
    return kind === "date" ? value.toISOString() : base64(value);
}
/** A field as the application has it. What is not of the kind declared stays as it came. */
export function decode(value, kind) {
    if (!kind || typeof value !== "string")
        return value;
    try {
        if (kind === "bytes")
            return Uint8Array.from(atob(value), (char) => char.charCodeAt(0));
        const date = new Date(value);
        return isNaN(+date) ? value : date;
    }
    catch {
        return value;
    }
}
/** What a value that was stored travels as, whatever it is. */
export function storedToJson(value) {
    return classOf(value) === "Uint8Array" ? base64(value) : JSON.parse(JSON.stringify(value) ?? "null");
}
function base64(bytes) {
    let chars = "";
    for (const byte of bytes)
        chars += String.fromCharCode(byte);
    return btoa(chars);
}
/** The canonical text of a value: RFC 8785 of what would travel. */
export function canonical(value) {
    const name = classOf(value);
    if (name === "Array")
        return `[${Array.from(value, canonical).join()}]`;
    if (name === "Uint8Array")
        return JSON.stringify(base64(value));
    if (name !== "Object")
        return JSON.stringify(value) ?? "null";
    const members = value;
    const names = Object.keys(members).filter((name) => members[name] !== undefined);
    return `{${names.sort().map((name) => `${JSON.stringify(name)}:${canonical(members[name])}`).join()}}`;
}
/** Whether two values are equal on the wire, where an absent member is `null`. */
export function sameValue(a, b) {
    return a === b || canonical(a) === canonical(b);
}
