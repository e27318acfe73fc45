/** Makes a Dexie database ready for Ferry. */

import type { Dexie } from "dexie";
import { restart } from "./apply.ts";
import { capture, encodeField } from "./capture.ts";
import { OWN_TABLES, SCHEMA, STATE, newState, type State, type Store, type Values } from "./store.ts";
import type { Held } from "./working-set.ts";

/**
 * Adds Ferry's tables to the newest version of the schema, and the capture of writes.
 * @throws Error when the database is open, or a table cannot be synced.
 */
export function attach(store: Store): void {
  const { db, tables, types } = store;
  if (db.isOpen() || !db.verno) throw new Error("ferry: attach after db.version().stores(), before opening");
  for (const name of [...tables, ...Object.keys(types)]) {
    const { keyPath, auto, src } = db.table(name).schema.primKey;
    const why =
      auto ? "is counted by each device for itself, so that two of them give one key to two records"
      : Array.isArray(keyPath) ? "is compound, and a record has one key, a string"
      : !keyPath ? "lies outside the row"
      : /[/,]/.test(name) ? "is fine, but the name of the table has a slash or a comma"
      : undefined;
    if (!why) continue;
    throw new Error(`ferry: cannot sync the table "${name}": its key "${src}" ${why}; use .stores({ ${name}: "id" }) with crypto.randomUUID(), or leave it out of \`tables\``);
  }
  db.version(db.verno).stores(SCHEMA);
  db.use(capture(store));
}

/** Before the application's first read or write: the state, and the rows that were there before Ferry. Returns those that cannot travel. */
export function prepare(store: Store, db: Dexie): Promise<Held[]> {
  return db.transaction("rw", [...store.tables, ...OWN_TABLES], async () => {
    const held: Held[] = [];
    const found: State | undefined = await db.table(STATE).get("state");
    const state = found ?? newState();
    const added = store.tables.filter((table) => !state.tables.includes(table));
    // The cursor has passed what the hub holds of a table that is new here.
    if (found && added.length) restart(state, "horizon");
    state.tables = store.tables;
    await db.table(STATE).put(state);
    for (const table of state.parked ? [] : added) {
      const { keyPath } = db.table(table).schema.primKey;
      const rows: Values[] = await db.table(table).toArray();
      const good = rows.filter((row) => {
        const id = row[keyPath as string];
        try {
          if (typeof id !== "string" || !id) throw new TypeError(`ferry: keys of "${table}" must be non-empty strings`);
          for (const name in row) if (name !== keyPath) encodeField(store, table, id, name, row[name]);
          return true;
        } catch (error) {
          held.push({ table, id: String(id), error });
          return false;
        }
      });
      // The capture takes rows without times for new ones, and sees no change in the others.
      await db.table(table).bulkPut(good);
    }
    return held;
  });
}
