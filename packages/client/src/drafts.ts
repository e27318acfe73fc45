/** Records being changed within one transaction: read at once, written at once. */

import type { Table } from "dexie";
import { wins } from "./rule.ts";
import { DELETED, META, keyOf, observe, valuesOf, type Field, type Meta, type State, type Store, type Values } from "./store.ts";

/** A record in memory. */
export type Draft = { table: string; id: string; keyPath: string; meta: Meta; values: Values; hasRow: boolean };

/** A record that its table would not take, because of a unique index, say. */
export type Held = { table: string; id: string; error: unknown };

const isKnown = ({ at }: Meta) => Object.keys(at).length > 0;
/** Whether the record should have a row. */
const alive = ({ meta }: Draft) => meta.dead === undefined && isKnown(meta);

/** Takes the field over, whatever was there. */
export function take(draft: Draft, name: string, { value, at, by = "" }: Field, state: State): void {
  if (name === draft.keyPath) return;
  observe(state, at);
  draft.meta.at[name] = at + by;
  if (name !== DELETED) draft.values[name] = value;
  else if (value === null) delete draft.meta.dead;
  else draft.meta.dead = value;
}

/** Takes the field over if it wins. */
export function merge(draft: Draft, name: string, field: Field, state: State): void {
  const held = name === DELETED ? draft.meta.dead : draft.values[name];
  if (wins(field.at + (field.by ?? ""), field.value, draft.meta.at[name], held)) take(draft, name, field, state);
}

/** Forgets the field. */
export function forget(draft: Draft, name: string): void {
  delete draft.meta.at[name];
  if (name === DELETED) delete draft.meta.dead;
  else delete draft.values[name];
}

/** For so many records at once it is asked which keys there are: about as much work as reading one of them. */
const KEYS_PER_RECORD = 10;

/** Reads the records of synced tables, by key; each appears once. */
export async function load(store: Store, records: { table: string; id: string }[]): Promise<Map<string, Draft>> {
  const drafts = new Map<string, Draft>();
  for (const table of store.tables) {
    const ids = [...new Set(records.filter((record) => record.table === table).map(({ id }) => id))].sort();
    if (!ids.length) continue;
    const keyPath = store.db.table(table).schema.primKey.keyPath as string;
    const keys = ids.map((id) => keyOf(table, id));
    const limit = ids.length * KEYS_PER_RECORD;
    // On a fresh device nothing is there: one look at the keys spares a read of each.
    const near = await store.db.table(META).where("k").between(keys[0], keys.at(-1), true, true).limit(limit).primaryKeys();
    const known = new Set(near.length < limit ? near : keys);
    const metas = (await store.db.table<Meta>(META).bulkGet(keys.filter((k) => known.has(k)))).filter(Boolean) as Meta[];
    // What has no times has no row.
    const rows: (Values | undefined)[] = await store.db.table(table).bulkGet(metas.map(({ k }) => k.slice(table.length + 1)));
    const found = new Map(metas.map((meta, i) => [meta.k, { meta, row: rows[i] }]));
    ids.forEach((id, i) => {
      const k = keys[i]!;
      const { meta, row } = found.get(k) ?? { meta: { k, at: {} } as Meta };
      const values = row ? valuesOf(row, keyPath) : { ...meta.rest };
      drafts.set(k, { table, id, keyPath, meta, values, hasRow: !!row });
    });
  }
  return drafts;
}

/** Writes rows and times. */
export async function save(store: Store, drafts: Map<string, Draft>): Promise<Held[]> {
  const held: Held[] = [];
  const all = [...drafts.values()];
  for (const table of store.tables) {
    const own = all.filter((draft) => draft.table === table);
    const living = own.filter(alive);
    await store.db.table(table).bulkDelete(own.filter((draft) => draft.hasRow && !alive(draft)).map(({ id }) => id));
    for (const { meta, values } of own) meta.rest = values;
    const refused = await put(
      store.db.table(table),
      living.map(({ id, keyPath, values }) => ({ ...values, [keyPath]: id })),
    );
    living.forEach(({ id, meta }, i) => {
      if (refused[i]) held.push({ table, id, error: refused[i] });
      else delete meta.rest;
    });
  }
  const metas = all.map(({ meta }) => meta);
  await store.db.table(META).bulkPut(metas.filter(isKnown));
  await store.db.table(META).bulkDelete(metas.filter((meta) => !isKnown(meta)).map(({ k }) => k));
  return held;
}

/** Puts the rows; those that fail do not undo the others. Returns the failures by position. */
async function put(table: Table, rows: object[]): Promise<Record<number, unknown>> {
  try {
    await table.bulkPut(rows);
    return {};
  } catch (error) {
    const { failuresByPos } = error as { failuresByPos?: Record<number, unknown> };
    if (!failuresByPos) throw error;
    return failuresByPos;
  }
}
