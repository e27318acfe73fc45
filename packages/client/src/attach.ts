/** Makes a Dexie database ready for Ferry. */

import type { Dexie } from "dexie";
import { restart } from "./apply.ts";
import { capture } from "./capture.ts";
import { OWN_TABLES, SCHEMA, STATE, newState, type State, type Store } from "./store.ts";

/**
 * Adds Ferry's tables to the newest version of the schema, and the capture of writes.
 * @throws Error when the database is open, or a table's key is not one string property.
 */
export function attach(store: Store): void {
  const { db, tables } = store;
  if (db.isOpen() || !db.verno) throw new Error("ferry: attach after db.version().stores(), before opening");
  for (const name of tables) {
    const { keyPath, auto } = db.table(name).schema.primKey;
    // Numbers that each device counts by itself would collide.
    if (typeof keyPath !== "string" || !keyPath || auto) throw new Error(`ferry: keys of "${name}" must be non-empty strings, in one property`);
  }
  db.version(db.verno).stores(SCHEMA);
  db.use(capture(store));
}

/** Before the application's first read or write: the state, and the rows that were there before Ferry. */
export async function prepare(store: Store, db: Dexie): Promise<void> {
  await db.transaction("rw", [...store.tables, ...OWN_TABLES], async () => {
    const found: State | undefined = await db.table(STATE).get("state");
    const state = found ?? newState();
    const added = store.tables.filter((table) => !state.tables.includes(table));
    // The cursor has passed what the hub holds of a table that is new here.
    if (found && added.length) restart(state, "horizon");
    state.tables = store.tables;
    await db.table(STATE).put(state);
    // The capture takes rows without times for new ones, and sees no change in the others.
    for (const table of added) await db.table(table).bulkPut(await db.table(table).toArray());
  });
}
