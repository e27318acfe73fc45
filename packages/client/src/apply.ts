/** Brings what the hub says into the tables, by the rule of REC-01 (REC-64), each page in one transaction. */

import {
  DELETED, META, OUTBOX, REFUSED, correctClock, keyOf, newState, recordOf, type Fields, type Meta, type Outgoing, type Refused, type State, type Store,
} from "./store.ts";
import { storedToJson } from "./json.ts";
import { INSTANT_LENGTH } from "./rule.ts";
import type { Conflict, Page, PushAnswer, Resync } from "./wire.ts";
import { forget, load, merge, save, take, type Held, type WorkingCopy } from "./working-set.ts";

/** What the application wants to hear of. */
export type Report = { held: Held[]; refused: Refused[]; conflicts: Conflict[] };

const NOTHING: Report = { held: [], refused: [], conflicts: [] };

/**
 * Stores a page and its cursor. The page that ends a resync also ends what the hub does not have.
 * @param asked The state when it was asked for.
 * @param owner Whose records the hub says these are.
 */
export function applyPage(store: Store, page: Page, asked: State, owner: string | null): Promise<Report> {
  return store.write(async (state) => {
    if (isStale(state, asked)) return NOTHING;
    correctClock(state, store.now(), page.now);
    if (owner) state.owner = owner;
    // Whose rows were put away is back.
    if (state.parked) await park(store, state, false);
    const retains = await retainedFields(store, state);
    const records = page.changes.map(({ collection: table, id }) => ({ table, id }));
    const workingSet = await load(store, [...records, ...heldRecords(state)]);
    // No await within: Dexie loses the transaction after a hundred that are not its own.
    const again: Outgoing[] = [];
    for (const { collection, id, fields } of page.changes) {
      const copy = workingSet.get(keyOf(collection, id));
      if (!copy) continue;
      const first = state.resync && copy.meta.pass !== state.pass;
      if (first) dropFields(copy, retains);
      for (const name in fields) merge(store, copy, name, fields[name]!, state);
      if (first) again.push(...lost(state, copy, fields));
      if (state.resync) copy.meta.pass = state.pass;
    }
    await store.db.table(OUTBOX).bulkAdd(again);
    const report = { ...NOTHING, ...(await save(store, state, workingSet)) };
    state.cursor = page.cursor;
    state.epoch = page.epoch;
    state.seq = Math.max(state.seq, page.seq ?? 0);
    if (state.resync && !page.more) {
      const swept = await sweep(store, state, retains);
      delete state.resync;
      return { ...report, held: [...report.held, ...swept] };
    }
    return report;
  });
}

/** Stores the answer to a push of `device`. */
export function applyAnswer(store: Store, sent: Outgoing[], answer: PushAnswer, device: string): Promise<Report> {
  return store.write(async (state) => {
    if (state.device !== device) return NOTHING;
    if (answer.now) correctClock(state, store.now(), answer.now);
    if (answer.head) state.head = answer.head;
    const workingSet = await load(store, [...sent.filter((_, i) => answer.results[i]?.fields), ...heldRecords(state)]);
    const refused: Omit<Refused, "n">[] = [];
    sent.forEach((row, i) => {
      const result = answer.results[i];
      if (result?.status === "rejected") {
        const { n: _, ...change } = row;
        refused.push({ ...change, reason: result.reason, message: result.message });
      }
      const copy = workingSet.get(keyOf(row.table, row.id));
      for (const name in result?.fields) {
        const field = result.fields[name]!;
        // The very write that was sent gives way to what the hub has in its place, even where that is earlier
        // (REC-04). Whatever else stands here meanwhile is judged by the rule.
        const isSent = copy!.meta.at[name] === row.fields[name]?.at + device;
        (isSent ? take : merge)(store, copy!, name, field, state);
      }
    });
    await store.db.table(OUTBOX).bulkDelete(sent.map(({ n }) => n!));
    const numbers = await store.db.table(REFUSED).bulkAdd(refused, { allKeys: true });
    state.seq = Math.max(state.seq, answer.seq ?? 0);
    const { held: newlyHeld, conflicts } = await save(store, state, workingSet);
    // A write that lost to a delete is found here, in whichever order the two are heard of.
    const others = (answer.conflicts ?? []).filter(({ collection, id, winner }) => {
      const meta = workingSet.get(keyOf(collection, id))?.meta;
      return meta?.dead === undefined || meta.at[DELETED] !== winner.at + winner.by;
    });
    return {
      held: newlyHeld,
      refused: refused.map((row, i) => ({ ...row, n: numbers[i] as number })),
      conflicts: [...others, ...conflicts],
    };
  });
}

/** Records without a row, which are tried again whenever something changes. */
const heldRecords = ({ held = [] }: State) => held.map(recordOf);

/** Begins to take the hub's whole state. */
export function beginResync(store: Store, { reason, epoch }: Resync, asked: State): Promise<void> {
  return store.write(async (state) => {
    if (!isStale(state, asked)) restart(state, reason, epoch);
  });
}

/** Whether another user's time, or a resync, has begun since: what was asked for before says nothing of now. */
const isStale = (state: State, asked: State) => state.device !== asked.device || state.pass !== asked.pass;

export function restart(state: State, reason: Resync["reason"], epoch?: string): void {
  // A resync for a new epoch that was interrupted keeps its meaning.
  if (state.resync !== "epoch") state.resync = reason === "horizon" ? "horizon" : "epoch";
  state.pass += 1;
  state.cursor = "0";
  delete state.head;
  if (epoch !== undefined) state.epoch = epoch;
}

/** Puts all rows away from their tables, or back into them (REC-65). */
export async function park(store: Store, state: State, away: boolean): Promise<void> {
  if (away) state.parked = true;
  else delete state.parked;
  const keys = (await store.db.table(META).toCollection().primaryKeys()) as string[];
  await save(store, state, await load(store, keys.map(recordOf)));
}

/** Forgets everything that is known of the hub, and the rows too unless they are to be kept. */
export async function forgetAll(store: Store, state: State, keepRows: boolean): Promise<void> {
  if (state.parked) await park(store, state, false);
  for (const name of [META, OUTBOX, REFUSED, ...(keepRows ? [] : store.tables)]) await store.db.table(name).clear();
  for (const name in state) delete state[name as keyof State];
  // Rows that are kept are taken up like those from before Ferry.
  Object.assign(state, newState(), { tables: keepRows ? [] : store.tables });
}

type Retains = (copy: WorkingCopy, name: string) => boolean;

/** Which fields outlive a resync: unsent and refused ones; where the hub may have lost writes all that this device wrote (REC-44). */
async function retainedFields(store: Store, state: State): Promise<Retains> {
  const waiting = new Set<string>();
  if (state.resync) {
    for (const table of [OUTBOX, REFUSED]) {
      await store.db.table<Outgoing>(table).each(({ table, id, fields }) => {
        for (const name in fields) waiting.add(`${keyOf(table, id)}\0${name}`);
      });
    }
  }
  return ({ meta }, name) =>
    waiting.has(`${meta.k}\0${name}`) || (state.resync === "epoch" && meta.at[name]?.slice(INSTANT_LENGTH) === state.device);
}

function dropFields(copy: WorkingCopy, retains: Retains): void {
  for (const name in copy.meta.at) if (!retains(copy, name)) forget(copy, name);
}

/** The own fields that the hub has lost, to be queued. */
function lost(state: State, { table, id, meta, values }: WorkingCopy, hubs: Fields): Outgoing[] {
  if (state.resync !== "epoch") return [];
  const fields: Fields = {};
  for (const name in meta.at) {
    const stamp = meta.at[name]!;
    const at = stamp.slice(0, INSTANT_LENGTH);
    const hub = hubs[name];
    if (stamp !== at + state.device || (hub && hub.at + hub.by === stamp)) continue;
    fields[name] = { value: name === DELETED ? (meta.dead ?? null) : storedToJson(values[name]), at };
  }
  if (!Object.keys(fields).length) return [];
  const op = !fields[DELETED] ? "update" : meta.dead === undefined ? "insert" : "delete";
  return [{ table, id, op, fields, seen: state.cursor }];
}

/** Ends the records that the resync has not shown. */
async function sweep(store: Store, state: State, retains: Retains): Promise<Held[]> {
  // The first pass of a device meets only what the device itself wrote.
  if (state.pass === 1) return [];
  const unseen: Meta[] = await store.db.table(META).filter(({ pass }: Meta) => pass !== state.pass).toArray();
  const workingSet = await load(store, unseen.map(({ k }) => recordOf(k)));
  for (const copy of workingSet.values()) dropFields(copy, retains);
  await store.db.table(OUTBOX).bulkAdd([...workingSet.values()].flatMap((copy) => lost(state, copy, {})));
  return (await save(store, state, workingSet)).held;
}
