/** Makes a Dexie database ready for Ferry. */

import type { Dexie } from "dexie";
import { restart } from "./apply.ts";
import { capture, outgoing } from "./capture.ts";
import { META, OUTBOX, OWN_TABLES, SCHEMA, STATE, keyOf, newState, type Meta, type Outgoing, type State, type Store, type Values } from "./store.ts";

/**
 * Adds Ferry's tables to the newest version of the schema, and the capture of writes.
 * @throws Error when the database is open, or a table's key is not one string property.
 */
export function attach(store: Store): void {
  const { db, tables } = store;
  if (db.isOpen()) throw new Error("ferry: call ferryRecords before the database is opened");
  if (db.verno === 0) throw new Error("ferry: declare the database's version and stores before ferryRecords");
  for (const name of tables) {
    const key = db.table(name).schema.primKey;
    if (typeof key.keyPath === "string" && key.keyPath && !key.auto) continue;
    throw new Error(
      `ferry: the primary key of "${name}" must be a string property (such as "id"): numbers that each device counts by itself would collide`,
    );
  }
  db.version(db.verno).stores(SCHEMA);
  db.use(capture(store));
}

/** Before the application's first read or write: the state, and the rows that were there before Ferry. */
export async function prepare(store: Store, db: Dexie): Promise<void> {
  await db.transaction("rw", [...store.tables, ...OWN_TABLES], async () => {
    const found: State | undefined = await db.table(STATE).get("state");
    const state = found ?? newState([]);
    const added = store.tables.filter((table) => !state.tables.includes(table));
    for (const table of added) await adopt(store, db, state, table);
    // The cursor has passed what the hub holds of a table that is new here.
    if (found && added.length) restart(state, "horizon");
    state.tables = store.tables;
    await db.table(STATE).put(state);
  });
}

async function adopt(store: Store, db: Dexie, state: State, table: string): Promise<void> {
  const keyPath = db.table(table).schema.primKey.keyPath as string;
  const rows: Values[] = await db.table(table).toArray();
  const ids = rows.map((row) => row[keyPath] as string);
  const known = await db.table(META).bulkGet(ids.map((id) => keyOf(table, id)));
  const metas: Meta[] = [];
  const changes: Outgoing[] = [];
  rows.forEach((after, i) => {
    const id = ids[i]!;
    if (known[i] || typeof id !== "string") return;
    const meta: Meta = { k: keyOf(table, id), at: {} };
    const change = outgoing(table, keyPath, { id, before: undefined, after }, meta, state, store.now());
    if (!change) return;
    metas.push(meta);
    changes.push(change);
  });
  await db.table(META).bulkPut(metas);
  await db.table(OUTBOX).bulkAdd(changes);
}
