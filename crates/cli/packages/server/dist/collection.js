import { integer, SQLiteColumnBuilder, sqliteTable, text } from "drizzle-orm/sqlite-core";
/** Fields that have an index. */
const indexed = new WeakSet();
Object.defineProperty(SQLiteColumnBuilder.prototype, "index", {
    configurable: true,
    value() {
        indexed.add(this);
        return this;
    },
});
/** What stands beside a collection's own fields. */
const implied = () => ({
    _owner: text("_owner"),
    _space: text("_space"),
    _updated_at: integer("_updated_at"),
    _extra: text("_extra", { mode: "json" }).$type(),
});
export const IMPLIED_NAMES = ["id", "_owner", "_space", "_updated_at", "_extra"];
const collections = new WeakMap();
function idBuilder() {
    return text("id").primaryKey().$defaultFn(() => crypto.randomUUID());
}
/** Live records of an app's collection as a table: read and write it like one (FUN-80). */
export function collection(name, description) {
    const { app, ...fields } = description;
    if (typeof app !== "string" || app === "")
        throw new Error(`collection("${name}"): \`app\` must name the app of its records.`);
    for (const key of Object.keys(fields)) {
        if (IMPLIED_NAMES.includes(key))
            throw new Error(`collection("${name}"): the field "${key}" is there already.`);
    }
    const indexedKeys = new Set(Object.keys(fields).filter((key) => indexed.has(fields[key])));
    const table = sqliteTable(name, { id: idBuilder(), ...fields, ...implied() });
    collections.set(table, { name, app, table, indexedKeys });
    return table;
}
export function isCollection(table) {
    return collections.has(table);
}
export function collectionOf(table) {
    return collections.get(table);
}
/** A row with its owner, who is the caller, as his own devices are, unless one is given (FUN-83). */
export function ownerOf(call, table, row) {
    if (row["_owner"] !== undefined && row["_owner"] !== null)
        return row;
    const user = call.user?.["sub"];
    if (typeof user !== "string" || user === "") {
        throw new Error(`INVALID: ${collections.get(table)?.name}._owner is required for anonymous callers.`);
    }
    return { ...row, _owner: call.owner };
}
