/**
 * Captures what the application writes through Dexie's own API (REC-60): each change of a synced table gets its
 * times and its outbox row in the IndexedDB transaction that makes it.
 */

import { Dexie, type DBCore, type DBCoreMutateRequest, type DBCoreMutateResponse, type DBCoreTable, type DBCoreTransaction, type Middleware } from "dexie";
import { sameValue, toJson, type Json } from "./json.ts";
import {
  DELETED, META, OUTBOX, OWN_TABLES, STATE, keyOf, newState, tick, valuesOf, type Fields, type Meta, type Op, type Outgoing, type State, type Store,
} from "./store.ts";

type Row = Record<string, unknown>;
/** A change of one record: what was there, what is there now. */
type Change = { id: string; before: Row | undefined; after: Row | undefined };

// Below Dexie's hooks (level 2), which may still change values; above its observability (1), which then sees the
// outbox too.
const LEVEL = 1.5;

/** The middleware for `db.use`. */
export function capture(store: Store): Middleware<DBCore> {
  const synced = new Set(store.tables);
  const create = (core: DBCore): DBCore => ({
    ...core,
    transaction(names, mode, options) {
      const tracked = mode === "readwrite" && names.some((name) => synced.has(name));
      return core.transaction(tracked ? [...new Set([...names, ...OWN_TABLES])] : names, mode, options);
    },
    table(name) {
      const table = core.table(name);
      if (!synced.has(name)) return table;
      const capturing = new Capturing(store, core, table);
      return { ...table, mutate: (request) => capturing.mutate(request) };
    },
  });
  return { stack: "dbcore", name: "ferry", level: LEVEL, create } as Middleware<DBCore>;
}

class Capturing {
  readonly #store: Store;
  readonly #core: DBCore;
  readonly #table: DBCoreTable;
  readonly #watched = new WeakSet<object>();

  constructor(store: Store, core: DBCore, table: DBCoreTable) {
    this.#store = store;
    this.#core = core;
    this.#table = table;
  }

  mutate(request: DBCoreMutateRequest): Promise<DBCoreMutateResponse> {
    const { trans } = request;
    // What an upgrade of the schema writes, every device writes for itself.
    const upgrading = (trans as unknown as IDBTransaction).mode === "versionchange";
    if (upgrading || this.#store.applying.has(trans)) return this.#table.mutate(request);
    let changes: Change[];
    // Dexie's promises, not await: they keep the caller's transaction zone.
    return this.#keys(request)
      .then((keys) => this.#before(request, keys))
      .then((found) => {
        changes = found;
        return this.#table.mutate(request);
      })
      .then((response) => {
        const done = changes.filter((_, i) => !(response.numFailures && response.failures[i]));
        return this.#record(trans, done).then(() => response);
      }) as Promise<DBCoreMutateResponse>;
  }

  #keys(request: DBCoreMutateRequest) {
    const { primaryKey } = this.#table.schema;
    if (request.type === "deleteRange") {
      const query = { index: primaryKey, range: request.range };
      return Dexie.Promise.resolve(this.#table.query({ trans: request.trans, values: false, query })).then(
        ({ result }) => result as unknown[],
      );
    }
    const keys: unknown[] =
      request.type === "delete" ? request.keys : request.values.map((value: Row) => primaryKey.extractKey!(value));
    return keys.every((key) => typeof key === "string" && key !== "")
      ? Dexie.Promise.resolve(keys)
      : Dexie.Promise.reject(
          new TypeError(`ferry: keys of the synced table "${this.#table.name}" must be non-empty strings`),
        );
  }

  #before(request: DBCoreMutateRequest, keys: unknown[]) {
    return Dexie.Promise.resolve(this.#table.getMany({ trans: request.trans, keys })).then((rows) => {
      // One request may hold a key twice: the second then changes what the first left.
      const current = new Map<string, Row | undefined>();
      return (keys as string[]).map((id, i): Change => {
        const before = current.has(id) ? current.get(id) : (rows[i] as Row | undefined);
        const adding = request.type === "add" || request.type === "put";
        const after = adding ? (request.values[i] as Row) : undefined;
        current.set(id, after);
        return { id, before, after };
      });
    });
  }

  /** Writes times and outbox rows of the changes. */
  #record(trans: DBCoreTransaction, changes: Change[]) {
    const table = (name: string) => this.#core.table(name);
    const keys = changes.map(({ id }) => keyOf(this.#table.name, id));
    if (!keys.length) return Dexie.Promise.resolve();
    return Dexie.Promise.all([
      table(STATE).get({ trans, key: "state" }),
      table(META).getMany({ trans, keys }),
    ]).then(([found, metas]) => {
      const state: State = found ?? newState(this.#store.tables);
      const known = new Map<string, Meta>();
      (metas as (Meta | undefined)[]).forEach((meta, i) => known.set(keys[i]!, meta ?? { k: keys[i]!, at: {} }));
      const outgoing = changes.flatMap((change, i) => this.#outgoing(change, known.get(keys[i]!)!, state));
      if (!outgoing.length) return;
      this.#watch(trans);
      return Dexie.Promise.all([
        table(STATE).mutate({ type: "put", trans, values: [state] }),
        table(META).mutate({ type: "put", trans, values: [...known.values()] }),
        table(OUTBOX).mutate({ type: "add", trans, values: outgoing }),
      ]).then(() => {});
    });
  }

  #outgoing(change: Change, meta: Meta, state: State): Outgoing[] {
    const keyPath = this.#table.schema.primaryKey.keyPath as string;
    const row = outgoing(this.#table.name, keyPath, change, meta, state, this.#store.now());
    return row ? [row] : [];
  }

  #watch(trans: DBCoreTransaction): void {
    if (this.#watched.has(trans)) return;
    this.#watched.add(trans);
    (trans as unknown as IDBTransaction).addEventListener("complete", () => this.#store.onCaptured());
  }
}

/** The outbox row of one change, if it changed anything; `meta` and the clock of `state` follow. */
export function outgoing(
  table: string, keyPath: string, { id, before, after }: Change, meta: Meta, state: State, nowMs: number,
): Outgoing | undefined {
  const changed: Record<string, Json> = {};
  let op: Op = "update";
  if (after) {
    // A row without times came by an upgrade of the schema or from before Ferry: nobody else has it.
    const fresh = !before || !Object.keys(meta.at).length;
    // A record that returns from the dead must not bring along what it held before.
    const old = before ?? meta.rest ?? {};
    const names = new Set([...Object.keys(old), ...Object.keys(after)]);
    for (const name of names) {
      if (name === keyPath || name === DELETED) continue;
      if ((fresh && name in after) || !sameValue(old[name], after[name])) changed[name] = toJson(after[name]);
    }
    if (fresh) {
      op = "insert";
      changed[DELETED] = null;
      delete meta.dead;
      delete meta.rest;
    }
  } else if (before) {
    op = "delete";
  }
  if (op === "update" && !Object.keys(changed).length) return undefined;
  const at = tick(state, nowMs);
  if (op === "delete") {
    changed[DELETED] = meta.dead = at;
    meta.rest = valuesOf(before!, keyPath);
  }
  const fields: Fields = {};
  for (const [name, value] of Object.entries(changed)) {
    fields[name] = { value, at };
    meta.at[name] = [at, state.device];
  }
  return { table, id, op, fields, seen: state.cursor };
}
