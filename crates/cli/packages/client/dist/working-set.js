/** Records being changed within one transaction: read at once, written at once. */
import { Dexie } from "dexie";
import { storedToJson, decode } from "./json.js";
import { INSTANT_LENGTH, wins } from "./rule.js";
import { DELETED, META, keyOf, observe, valuesOf } from "./store.js";
const isKnown = ({ at }) => Object.keys(at).length > 0;
/** Takes the field over, whatever was there. */
export function take(store, copy, name, { value, at, by = "" }, state) {
    if (name === copy.keyPath)
        return;
    observe(state, at);
    copy.meta.at[name] = at + by;
    if (name !== DELETED)
        copy.values[name] = decode(value, store.types[copy.table]?.[name]);
    else if (value === null)
        delete copy.meta.dead;
    else
        copy.meta.dead = value;
}
/** Takes the field over if it wins. */
export function merge(store, copy, name, field, state) {
    const held = name === DELETED ? copy.meta.dead : copy.values[name];
    if (wins(field.at + (field.by ?? ""), field.value, copy.meta.at[name], held))
        take(store, copy, name, field, state);
}
/** Forgets the field. */
export function forget(copy, name) {
    delete copy.meta.at[name];
    if (name === DELETED)
        delete copy.meta.dead;
    else
        delete copy.values[name];
}
/** For so many records at once it is asked which keys there are: about as much work as reading one of them. */
const KEYS_PER_RECORD = 10;
/** Reads the records of synced tables, by key; each appears once. */
export async function load(store, records) {
    const workingSet = new Map();
    for (const table of store.tables) {
        const ids = [...new Set(records.filter((record) => record.table === table).map(({ id }) => id))].sort();
        if (!ids.length)
            continue;
        const keyPath = store.db.table(table).schema.primKey.keyPath;
        const keys = ids.map((id) => keyOf(table, id));
        const limit = ids.length * KEYS_PER_RECORD;
        // On a fresh device nothing is there: reading the keys at once spares a read of each.
        const inRange = await store.db.table(META).where("k").between(keys[0], keys.at(-1), true, true).limit(limit).primaryKeys();
        const known = new Set(inRange.length < limit ? inRange : keys);
        const metas = (await store.db.table(META).bulkGet(keys.filter((k) => known.has(k)))).filter(Boolean);
        // What has no times has no row.
        const rows = await store.db.table(table).bulkGet(metas.map(({ k }) => k.slice(table.length + 1)));
        const found = new Map(metas.map((meta, i) => [meta.k, { meta, row: rows[i] }]));
        ids.forEach((id, i) => {
            const k = keys[i];
            const { meta, row } = found.get(k) ?? { meta: { k, at: {} } };
            const values = row ? valuesOf(row, keyPath) : { ...meta.rest };
            workingSet.set(k, { table, id, keyPath, meta, was: { ...meta.at }, values, hasRow: !!row });
        });
    }
    return workingSet;
}
/** Writes rows and times. Returns the records that have newly lost their row, and writes that newly lost to a delete. */
export async function save(store, state, workingSet) {
    const held = new Map();
    const alive = ({ meta }) => meta.dead === undefined && isKnown(meta) && !state.parked;
    for (const name of store.tables) {
        const table = store.db.table(name);
        const own = [...workingSet.values()].filter((copy) => copy.table === name);
        if (!own.length)
            continue;
        await table.bulkDelete(own.filter((copy) => copy.hasRow && !alive(copy)).map(({ id }) => id));
        let refused = await put(table, own.filter(alive));
        if (!refused.size)
            continue;
        // An old row must not stand for a new record, and may hold what another one of these has taken over.
        await table.bulkDelete([...refused.keys()].map(({ id }) => id));
        refused = await put(table, [...refused.keys()]);
        for (const [copy, error] of refused) {
            for (const loser of await resolveUniqueIndex(store, table, workingSet, copy, error))
                held.set(keyOf(name, loser.id), loser);
        }
    }
    const all = [...workingSet.values()];
    for (const copy of all) {
        if (alive(copy) && !held.has(copy.meta.k))
            delete copy.meta.rest;
        else
            copy.meta.rest = copy.values;
    }
    const metas = all.map(({ meta }) => meta);
    await store.db.table(META).bulkPut(metas.filter(isKnown));
    await store.db.table(META).bulkDelete(metas.filter((meta) => !isKnown(meta)).map(({ k }) => k));
    const known = state.held ?? [];
    state.held = [...known.filter((k) => !workingSet.has(k)), ...held.keys()];
    return {
        held: [...held].filter(([k]) => !known.includes(k)).map(([, record]) => record),
        conflicts: all.flatMap((copy) => editsLostToDelete(state, copy)),
    };
}
/** Puts the rows; those that fail do not undo the others. Returns the failures. */
async function put(table, copies) {
    try {
        await table.bulkPut(copies.map(({ id, keyPath, values }) => ({ ...values, [keyPath]: id })));
        return new Map();
    }
    catch (error) {
        const { failuresByPos } = error;
        if (!failuresByPos)
            throw error;
        return new Map(Object.entries(failuresByPos).map(([i, failure]) => [copies[+i], failure]));
    }
}
/**
 * Who has the row where a unique index forbids both: on every device the record whose indexed fields were written
 * first. Returns those that have none.
 */
async function resolveUniqueIndex(store, table, workingSet, copy, error) {
    const rivals = [];
    for (const { unique, multi, name, keyPath } of table.schema.indexes) {
        const value = Dexie.getByKeyPath(copy.values, keyPath);
        if (!unique || value === undefined)
            continue;
        const ids = await table.where(name)[multi ? "anyOf" : "equals"](value).primaryKeys();
        const records = ids.map((id) => ({ table: table.name, id }));
        for (const [k, rival] of await load(store, records.filter(({ table, id }) => !workingSet.has(keyOf(table, id)))))
            workingSet.set(k, rival);
        const since = ({ id, meta }) => [keyPath].flat().map((path) => meta.at[path.split(".")[0]] ?? "").sort().pop() + " " + id;
        for (const { id } of records) {
            const rival = workingSet.get(keyOf(table.name, id));
            rivals.push({ rival, index: name, isFirst: since(rival) < since(copy) });
        }
    }
    const lost = rivals.find(({ isFirst }) => isFirst);
    if (lost)
        return [refuse(copy, lost.rival, lost.index)];
    if (!rivals.length)
        return [{ table: table.name, id: copy.id, error }];
    await table.bulkDelete(rivals.map(({ rival }) => rival.id));
    await put(table, [copy]);
    return rivals.map(({ rival, index }) => refuse(rival, copy, index));
}
function refuse({ table, id }, { id: other }, index) {
    const message = `ferry: ${table} "${id}" has no row: the unique index "${index}" has room for "${other}" alone, which was first`;
    return { table, id, index, other, error: Object.assign(new Error(message), { name: "ConstraintError" }) };
}
/**
 * Edits that are later than the delete of their record, by a device that did not know of it, and do not revive it.
 * Both devices are told, each when it hears of the other.
 */
function editsLostToDelete({ device }, { table, id, meta, was, values }) {
    const tombstone = meta.at[DELETED];
    if (meta.dead === undefined || !tombstone)
        return [];
    const isOwn = (stamp) => stamp.slice(INSTANT_LENGTH) === device;
    const isNew = (name) => meta.at[name] !== was[name] && !isOwn(meta.at[name]);
    return Object.keys(meta.at)
        .filter((name) => {
        const stamp = meta.at[name];
        return name !== DELETED && stamp > tombstone && isOwn(stamp) !== isOwn(tombstone) && (isNew(name) || isNew(DELETED));
    })
        .map((name) => ({
        collection: table,
        id,
        field: name,
        winner: fieldOf(tombstone, meta.dead),
        loser: fieldOf(meta.at[name], storedToJson(values[name])),
    }));
}
const fieldOf = (stamp, value) => ({ value, at: stamp.slice(0, INSTANT_LENGTH), by: stamp.slice(INSTANT_LENGTH) });
