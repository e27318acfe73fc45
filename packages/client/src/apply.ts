/** Brings what the hub says into the tables, by the rule of REC-01 (REC-64), each page in one transaction. */

import { MAX_AHEAD_US, instant, microseconds } from "./clock.ts";
import { forget, load, merge, save, take, type Draft, type Held } from "./drafts.ts";
import {
  DELETED, META, OUTBOX, REFUSED, keyOf, type Fields, type Meta, type Outgoing, type Refused, type State, type Store,
} from "./store.ts";
import { toJson } from "./json.ts";
import { INSTANT_LENGTH } from "./rule.ts";
import type { Page, PushAnswer } from "./wire.ts";

/** Stores a page and its cursor. The page that ends a resync also ends what the hub does not have. */
export function applyPage(store: Store, page: Page): Promise<Held[]> {
  return store.write(async (state) => {
    await correctClock(store, state, microseconds(page.now));
    const keeps = await keeper(store, state);
    const drafts = await load(store, page.changes.map(({ collection: table, id }) => ({ table, id })));
    // No await within: Dexie loses the transaction after a hundred that are not its own.
    const again: Outgoing[] = [];
    for (const { collection, id, fields } of page.changes) {
      const draft = drafts.get(keyOf(collection, id));
      if (!draft) continue;
      const first = state.resync && draft.meta.pass !== state.pass;
      if (first) strip(draft, keeps);
      for (const name in fields) merge(draft, name, fields[name]!, state);
      if (first) again.push(...lost(state, draft, fields));
      if (state.resync) draft.meta.pass = state.pass;
    }
    await store.db.table(OUTBOX).bulkAdd(again);
    const held = await save(store, drafts);
    state.cursor = page.cursor;
    state.epoch = page.epoch;
    state.seq = Math.max(state.seq, page.seq ?? 0);
    if (state.resync && !page.more) {
      held.push(...(await sweep(store, state, keeps)));
      delete state.resync;
    }
    return held;
  });
}

/** Stores the answer to a push. */
export function applyAnswer(store: Store, sent: Outgoing[], answer: Pick<PushAnswer, "results" | "seq">): Promise<{ held: Held[]; refused: Refused[] }> {
  return store.write(async (state) => {
    const drafts = await load(store, sent.filter((_, i) => answer.results[i]?.fields));
    const refused: (Outgoing & { reason: string; message: string })[] = [];
    sent.forEach((row, i) => {
      const result = answer.results[i];
      if (result?.status === "rejected") {
        const { n: _, ...change } = row;
        refused.push({ ...change, reason: result.reason, message: result.message });
      }
      const draft = drafts.get(keyOf(row.table, row.id));
      for (const name in result?.fields) {
        const field = result.fields[name]!;
        // The hub's word on the very write that was sent counts, even where its time is earlier (REC-04).
        const own = draft!.meta.at[name] === row.fields[name]?.at + state.device;
        (own ? take : merge)(draft!, name, field, state);
      }
    });
    await store.db.table(OUTBOX).bulkDelete(sent.map(({ n }) => n!));
    const numbers = await store.db.table(REFUSED).bulkAdd(refused, { allKeys: true });
    refused.forEach((row, i) => (row.n = numbers[i] as number));
    state.seq = Math.max(state.seq, answer.seq ?? 0);
    return { held: await save(store, drafts), refused: refused as Refused[] };
  });
}

/** Begins to take the hub's whole state. */
export function beginResync(store: Store, reason: "horizon" | "epoch", epoch?: string): Promise<void> {
  return store.write(async (state) => restart(state, reason, epoch));
}

export function restart(state: State, reason: "horizon" | "epoch", epoch?: string): void {
  // A resync for a new epoch that was interrupted keeps its meaning.
  if (state.resync !== "epoch") state.resync = reason;
  state.pass += 1;
  state.cursor = "0";
  if (epoch !== undefined) state.epoch = epoch;
}

type Keeps = (draft: Draft, name: string) => boolean;

/** Which fields outlive a resync: unsent and refused ones; for a new epoch all that this device wrote (REC-44). */
async function keeper(store: Store, state: State): Promise<Keeps> {
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

function strip(draft: Draft, keeps: Keeps): void {
  for (const name in draft.meta.at) if (!keeps(draft, name)) forget(draft, name);
}

/** The own fields that the hub has lost, to be queued. */
function lost(state: State, { table, id, meta, values }: Draft, hubs: Fields): Outgoing[] {
  if (state.resync !== "epoch") return [];
  const fields: Fields = {};
  for (const name in meta.at) {
    const stamp = meta.at[name]!;
    const at = stamp.slice(0, INSTANT_LENGTH);
    const hub = hubs[name];
    if (stamp !== at + state.device || (hub && hub.at + hub.by === stamp)) continue;
    fields[name] = { value: name === DELETED ? (meta.dead ?? null) : toJson(values[name]), at };
  }
  if (!Object.keys(fields).length) return [];
  const op = !fields[DELETED] ? "update" : meta.dead === undefined ? "insert" : "delete";
  return [{ table, id, op, fields, seen: state.cursor }];
}

/** Ends the records that the resync has not shown. */
async function sweep(store: Store, state: State, keeps: Keeps): Promise<Held[]> {
  // The first pass of a device meets only what the device itself wrote.
  if (state.pass === 1) return [];
  const unseen: Meta[] = await store.db.table(META).filter(({ pass }: Meta) => pass !== state.pass).toArray();
  const records = unseen.map(({ k }) => {
    const [table, ...id] = k.split("/");
    return { table: table!, id: id.join("/") };
  });
  const drafts = await load(store, records);
  for (const draft of drafts.values()) strip(draft, keeps);
  await store.db.table(OUTBOX).bulkAdd([...drafts.values()].flatMap((draft) => lost(state, draft, {})));
  return save(store, drafts);
}

/**
 * Corrects the clock by the hub's. Where it was far ahead, unsent writes are dated back in their order: the hub
 * would replace their times by its own (REC-04), and a later edit could lose to an earlier one.
 */
async function correctClock(store: Store, state: State, hubUs: number): Promise<void> {
  const skewMs = Math.round(store.now() - hubUs / 1000);
  state.skewMs = Math.abs(skewMs) * 1000 > MAX_AHEAD_US ? skewMs : 0;
  if (state.us - hubUs <= MAX_AHEAD_US) return;
  const shift = Math.max(state.skewMs * 1000, state.us - hubUs);
  const rows: Outgoing[] = await store.db.table(OUTBOX).orderBy("n").toArray();
  const drafts = await load(store, rows);
  state.us = hubUs;
  let last = 0;
  for (const row of rows) {
    const { meta } = drafts.get(keyOf(row.table, row.id))!;
    for (const name in row.fields) {
      const field = row.fields[name]!;
      const us = microseconds(field.at);
      last = Math.max(us - hubUs > MAX_AHEAD_US ? us - shift : us, last);
      const at = instant(last, state.device);
      if (meta.at[name] === field.at + state.device) meta.at[name] = at + state.device;
      field.at = at;
    }
    state.us = Math.max(state.us, last++);
  }
  await store.db.table(OUTBOX).bulkPut(rows);
  await save(store, drafts);
}
