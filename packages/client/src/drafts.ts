/** Records being changed within one transaction: read at once, written at once. */

import type { Table } from "dexie";
import { wins } from "./rule.ts";
import { DELETED, META, keyOf, observe, valuesOf, type Field, type Meta, type State, type Store, type Values } from "./store.ts";

/** A record in memory. */
export type Draft = { table: string; id: string; keyPath: string; meta: Meta; values: Values; hasRow: boolean };

/** A record that its table would not take, because of a unique index, say. */
export type Held = { table: string; id: string; error: unknown };

/** Whether the record should have a row. */
const alive = ({ meta }: Draft) => meta.dead === undefined && Object.keys(meta.at).length > 0;

/** Takes the field over, whatever was there. */
export function take(draft: Draft, name: string, { value, at, by = "" }: Field, state: State): void {
  if (name === draft.keyPath) return;
  observe(state, at);
  draft.meta.at[name] = [at, by];
  if (name !== DELETED) draft.values[name] = value;
  else if (value === null) delete draft.meta.dead;
  else draft.meta.dead = value;
}

/** Takes the field over if it wins. */
export function merge(draft: Draft, name: string, field: Field, state: State): void {
  const held = name === DELETED ? draft.meta.dead : draft.values[name];
  if (wins([field.at, field.by ?? ""], field.value, draft.meta.at[name], held)) take(draft, name, field, state);
}

/** Forgets the field. */
export function forget(draft: Draft, name: string): void {
  delete draft.meta.at[name];
  if (name === DELETED) delete draft.meta.dead;
  else delete draft.values[name];
}

/** Reads the records; each appears once. */
export async function load(store: Store, records: { table: string; id: string }[]): Promise<Map<string, Draft>> {
  const drafts = new Map<string, Draft>();
  for (const [table, ids] of idsByTable(records)) {
    const keyPath = store.primaryKey(table);
    const keys = ids.map((id) => keyOf(table, id));
    const metas: (Meta | undefined)[] = await store.db.table(META).bulkGet(keys);
    const rows: (Values | undefined)[] = await store.db.table(table).bulkGet(ids);
    ids.forEach((id, i) => {
      const meta = metas[i] ?? { k: keys[i]!, at: {} };
      const row = rows[i];
      const values = row ? valuesOf(row, keyPath) : { ...meta.rest };
      drafts.set(meta.k, { table, id, keyPath, meta, values, hasRow: row !== undefined });
    });
  }
  return drafts;
}

function idsByTable(records: Iterable<{ table: string; id: string }>): Map<string, string[]> {
  const sets = new Map<string, Set<string>>();
  for (const { table, id } of records) {
    if (!sets.has(table)) sets.set(table, new Set());
    sets.get(table)!.add(id);
  }
  return new Map([...sets].map(([table, ids]) => [table, [...ids]]));
}

/** Writes rows and times. */
export async function save(store: Store, drafts: Map<string, Draft>): Promise<Held[]> {
  const held: Held[] = [];
  const all = [...drafts.values()];
  for (const table of new Set(all.map((draft) => draft.table))) {
    const own = all.filter((draft) => draft.table === table);
    const living = own.filter(alive);
    const dead = own.filter((draft) => draft.hasRow && !alive(draft));
    if (dead.length) await store.db.table(table).bulkDelete(dead.map(({ id }) => id));
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
  const known = all.filter(({ meta }) => Object.keys(meta.at).length);
  const unknown = all.filter(({ meta }) => !Object.keys(meta.at).length);
  await store.db.table(META).bulkPut(known.map(({ meta }) => meta));
  if (unknown.length) await store.db.table(META).bulkDelete(unknown.map(({ meta }) => meta.k));
  return held;
}

/** Puts the rows; those that fail do not undo the others. Returns the failures by position. */
async function put(table: Table, rows: object[]): Promise<Record<number, unknown>> {
  try {
    if (rows.length) await table.bulkPut(rows);
    return {};
  } catch (error) {
    const { failuresByPos } = error as { failuresByPos?: Record<number, unknown> };
    if (!failuresByPos) throw error;
    return failuresByPos;
  }
}
