/**
 * Captures what the application writes through Dexie's own API (REC-60): each change of a synced table gets its
 * times and its outbox row in the IndexedDB transaction that makes it.
 */
import { Dexie } from "dexie";
import { encode, sameValue } from "./json.js";
import { DELETED, META, OUTBOX, OWN_TABLES, STATE, keyOf, observe, tick, valuesOf, } from "./store.js";
// Below Dexie's hooks (level 2), which may still change values; above its observability (1), which then sees the
// outbox too.
const LEVEL = 1.5;
/** The middleware for `db.use`. */
export function capture(store) {
    const synced = new Set(store.tables);
    const create = (core) => ({
        ...core,
        transaction(names, mode, options) {
            const tracked = mode === "readwrite" && names.some((name) => synced.has(name));
            return core.transaction(tracked ? [...new Set([...names, ...OWN_TABLES])] : names, mode, options);
        },
        table(name) {
            const table = core.table(name);
            return synced.has(name) ? { ...table, mutate: (request) => mutate(store, core, table, request) } : table;
        },
    });
    return { stack: "dbcore", name: "ferry", level: LEVEL, create };
}
function mutate(store, core, table, request) {
    const { trans } = request;
    // What an upgrade of the schema writes, every device writes for itself.
    const upgrading = trans.mode === "versionchange";
    if (upgrading || store.applying.has(trans))
        return table.mutate(request);
    let changes;
    // Dexie's promises, not await: they keep the caller's transaction zone.
    return keysOf(table, request)
        .then((keys) => changesOf(table, request, keys))
        .then((found) => {
        changes = found;
        return table.mutate(request);
    })
        .then((response) => {
        const done = changes.filter((_, i) => !(response.numFailures && response.failures[i]));
        return record(store, core, table, trans, done).then(() => response);
    })
        .catch((error) => {
        // Never the write without its outbox row.
        if (changes)
            trans.abort();
        throw error;
    });
}
function keysOf(table, request) {
    const { primaryKey } = table.schema;
    if (request.type === "deleteRange") {
        const query = { index: primaryKey, range: request.range };
        return Dexie.Promise.resolve(table.query({ trans: request.trans, values: false, query })).then(({ result }) => result);
    }
    const keys = request.type === "delete" ? request.keys : request.values.map((value) => primaryKey.extractKey(value));
    return keys.every((key) => typeof key === "string" && key)
        ? Dexie.Promise.resolve(keys)
        : Dexie.Promise.reject(new TypeError(`ferry: keys of "${table.name}" must be non-empty strings`));
}
function changesOf(table, request, keys) {
    return Dexie.Promise.resolve(table.getMany({ trans: request.trans, keys })).then((rows) => {
        // One request may hold a key twice: the second then changes what the first left.
        const current = new Map();
        return keys.map((id, i) => {
            const before = current.has(id) ? current.get(id) : rows[i];
            const after = "values" in request ? request.values[i] : undefined;
            current.set(id, after);
            return { id, before, after };
        });
    });
}
/** Writes times and outbox rows of the changes. */
function record(store, core, { name, schema }, trans, changes) {
    const keys = changes.map(({ id }) => keyOf(name, id));
    const state = core.table(STATE);
    const meta = core.table(META);
    return Dexie.Promise.all([state.get({ trans, key: "state" }), meta.getMany({ trans, keys })]).then(([state_, found]) => {
        if (state_.parked)
            throw new Error("ferry: OWNER_CHANGED: these tables are another user's; call sync.switchOwner() first");
        const metas = new Map();
        keys.forEach((k, i) => metas.set(k, found[i] ?? { k, at: {} }));
        const rows = changes
            .map((change, i) => outgoing(store, name, schema.primaryKey.keyPath, change, metas.get(keys[i]), state_))
            .filter((row) => row !== undefined);
        if (!rows.length)
            return;
        trans.addEventListener("complete", store.onCaptured);
        return Dexie.Promise.all([
            state.mutate({ type: "put", trans, values: [state_] }),
            meta.mutate({ type: "put", trans, values: [...metas.values()] }),
            core.table(OUTBOX).mutate({ type: "add", trans, values: rows }),
        ]);
    });
}
/** The outbox row of one change, if it changed anything; `meta` and the clock of `state` follow. */
function outgoing(store, table, keyPath, { id, before, after }, meta, state) {
    // A record that its table would not take is there all the same.
    if (meta.dead === undefined)
        before ??= meta.rest;
    const changed = {};
    let op = "update";
    if (after) {
        // A row without times came by an upgrade of the schema or from before Ferry: nobody else has it.
        const fresh = !before || !Object.keys(meta.at).length;
        // A record that returns from the dead must not bring along what it held before.
        const old = before ?? meta.rest ?? {};
        const names = new Set([...Object.keys(old), ...Object.keys(after)]);
        for (const name of names) {
            if (name === keyPath || !((fresh && name in after) || !sameValue(old[name], after[name])))
                continue;
            changed[name] = encodeField(store, table, id, name, after[name]);
        }
        if (fresh) {
            op = "insert";
            changed[DELETED] = null;
            delete meta.dead;
        }
        delete meta.rest;
    }
    else if (before) {
        op = "delete";
    }
    if (op === "update" && !Object.keys(changed).length)
        return undefined;
    if (op === "delete")
        changed[DELETED] = null;
    // Later than what it replaces, whatever the clock has done since.
    for (const name in changed)
        observe(state, meta.at[name] ?? "");
    const at = tick(state, store.now());
    if (op === "delete") {
        changed[DELETED] = meta.dead = at;
        meta.rest = valuesOf(before, keyPath);
    }
    const fields = {};
    for (const name in changed) {
        fields[name] = { value: changed[name], at };
        meta.at[name] = at + state.device;
    }
    return { table, id, op, fields, seen: state.cursor };
}
/**
 * A field of the application's as it travels.
 * @throws TypeError for what cannot (REC-67).
 */
export function encodeField({ types }, table, id, name, value) {
    try {
        if (name === DELETED || name === "__proto__")
            throw new TypeError("the name is reserved");
        return encode(value, types[table]?.[name]);
    }
    catch (error) {
        throw new TypeError(`ferry: ${table} "${id}", field "${name}": ${error.message}`);
    }
}
