/**
 * A small model of the hub (docs/records-wire.md) behind a `fetch`: the merge of REC-01, the times of REC-04, cursors by
 * commit time, epochs, runs, a horizon, owners, refusals; and the faults that tests ask for.
 */

import { wins } from "../src/rule.ts";
import type { Field, Fields } from "../src/store.ts";
import type { Conflict, Incoming, Page, Result } from "../src/wire.ts";

type Stored = Field & { by: string; cts: number };
type Record_ = { collection: string; id: string; fields: Map<string, Stored>; complete: boolean; shown: number };
type Change = { collection: string; id: string; op: string; seen?: string; fields: Fields };
type Query = { since: number; floor: number; limit: number; own: boolean; device: string; collections: Set<string> | undefined };

const MAX_AHEAD_MS = 5 * 60_000;

/** A cursor: where it stands, and where its device was last complete. */
function position(cursor: string | null | undefined): { since: number; floor: number } {
  const [since, floor] = (cursor || "0").split("~")[0]!.split(":").map(Number);
  return { since: since!, floor: floor ?? since! };
}

const instant = (ms: number) => `${new Date(ms).toISOString().slice(0, -1)}000000Z`;

/** The instant one nanosecond later; nine digits never run over in these tests. */
const after = (at: string) => at.slice(0, 20) + String(Number(at.slice(20, 29)) + 1).padStart(9, "0") + "Z";

export class ModelHub {
  epoch = "e1";
  /** Its runs, the newest last, and the newest commit that each gave out. */
  runs = new Map([["r1", Infinity]]);
  records = new Map<string, Record_>();
  /** Claimed time → stored time, by device and field. */
  claims = new Map<string, Map<string, string>>();
  /** Whose records a token means. */
  owner: (token: string) => string | undefined = () => undefined;
  cts = 1000;
  seq = 0;
  /** Cursors below this are beyond the horizon. */
  horizon = 0;
  now = () => Date.now();
  /** Largest page. */
  pageLimit = 1000;
  streams = true;
  token: string | undefined;
  /** Answers to give instead, one per request. */
  readonly faults: ((url: URL, init: RequestInit) => Response | undefined)[] = [];
  /** Reason for refusing a change. */
  refuse: (change: Change) => { reason: string; message: string } | undefined = () => undefined;
  requests: { path: string; method: string; changes: number }[] = [];
  readonly #wakers = new Set<() => void>();

  readonly fetch: typeof fetch = async (input, init = {}) => {
    const url = new URL(String(input));
    const headers = new Headers(init.headers);
    const method = init.method ?? "GET";
    if (init.signal?.aborted) throw new DOMException("aborted", "AbortError");
    const body = init.body ? JSON.parse(String(init.body)) : undefined;
    this.requests.push({ path: url.pathname, method, changes: body?.changes?.length ?? 0 });
    const fault = this.faults.shift()?.(url, init);
    if (fault) return fault;
    if (this.token && headers.get("Authorization") !== `Bearer ${this.token}`) return refusal(401, "unauthenticated");
    const device = headers.get("X-Client-Id") ?? "";
    const owner = this.owner(headers.get("Authorization")?.slice(7) ?? "");
    const known = headers.get("Ferry-Owner");
    if (owner && known && known !== owner) return refusal(409, "failed_precondition", {}, "OWNER_CHANGED");
    const tagged = (response: Response) => (owner && response.headers.set("Ferry-Owner", owner), response);
    if (method === "POST") return tagged(Response.json(this.push(device, body)));
    const query: Query = {
      ...position(url.searchParams.get("since")),
      limit: Math.min(Number(url.searchParams.get("limit") ?? 1000), this.pageLimit),
      own: url.searchParams.get("own") === "1",
      device,
      collections: url.searchParams.has("collections") ? new Set(url.searchParams.get("collections")!.split(",")) : undefined,
    };
    const epoch = url.searchParams.get("epoch");
    const resync = this.#diverged(url.searchParams.get("since"), url.searchParams.get("head"));
    if (!url.pathname.endsWith("/stream")) return tagged(Response.json(this.#resync(epoch, query.since) ?? resync ?? this.page(query)));
    if (resync) return tagged(new Response(`event: resync\ndata: ${JSON.stringify(resync)}\n\n`, { headers: { "Content-Type": "text/event-stream" } }));
    return this.streams ? tagged(this.#stream(query, epoch, init.signal ?? undefined)) : refusal(404, "not_found");
  };

  /** Ends all streams, as a lost connection does. */
  cut(): void {
    for (const wake of [...this.#wakers]) (wake as { cut?: () => void }).cut?.();
  }

  #resync(epoch: string | null | undefined, since: number) {
    if (epoch && epoch !== this.epoch) return { resync: true, reason: "epoch", epoch: this.epoch };
    if (since > 0 && since < this.horizon) return { resync: true, reason: "horizon", epoch: this.epoch };
    return undefined;
  }

  /** Whether a cursor is of a run that is lost, or beyond what is left of one (OPR-36). */
  #diverged(...cursors: (string | null | undefined)[]) {
    const isLost = (cursor: string | null | undefined) => cursor?.includes("~") && position(cursor).since > (this.runs.get(cursor.split("~")[1]!) ?? 0);
    return cursors.some(isLost) ? { resync: true, reason: "diverged", epoch: this.epoch } : undefined;
  }

  #given(cursor: string | number): string {
    return position(String(cursor)).since ? `${cursor}~${[...this.runs.keys()].at(-1)}` : String(cursor);
  }

  page({ since, floor, limit, own, device, collections }: Query): Page {
    const found: { cts: number; change: Incoming }[] = [];
    for (const record of this.records.values()) {
      if (!record.complete || (collections && !collections.has(record.collection))) continue;
      const cts = Math.max(record.shown, ...[...record.fields.values()].map((field) => field.cts));
      if (cts <= since) continue;
      const all = record.shown > floor;
      const sent = [...record.fields].filter(([, field]) => all || field.cts > floor);
      if (!own && floor > 0 && sent.every(([, field]) => field.by === device)) continue;
      const fields = Object.fromEntries(sent.map(([name, { value, at, by }]) => [name, { value, at, by }]));
      found.push({ cts, change: { collection: record.collection, id: record.id, cts: String(cts), fields } });
    }
    found.sort((a, b) => a.cts - b.cts);
    const cut = found.slice(0, limit);
    const more = found.length > limit;
    const cursor = this.#given(more ? `${cut.at(-1)!.cts}:${floor}` : Math.max(since, this.cts));
    return {
      epoch: this.epoch, snapshot: floor === 0, now: instant(this.now()), seq: this.seq,
      changes: cut.map(({ change }) => change), cursor, more,
    };
  }

  #stream(query: Query, epoch: string | null, signal: AbortSignal | undefined): Response {
    let first = true;
    const encoder = new TextEncoder();
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const send = (event: string, data: unknown) =>
          controller.enqueue(encoder.encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`));
        const end = () => {
          this.#wakers.delete(wake);
          try { controller.close(); } catch { /* closed by the reader */ }
        };
        const wake = Object.assign(() => {
          const resync = this.#resync(epoch, query.since);
          if (resync) return send("resync", resync), end();
          for (;;) {
            const page = this.page(query);
            if (!first && !page.changes.length) return;
            first = false;
            Object.assign(query, position(page.cursor));
            send("changes", page);
            if (!page.more) return;
          }
        }, { cut: end });
        this.#wakers.add(wake);
        signal?.addEventListener("abort", () => {
          this.#wakers.delete(wake);
          try { controller.error(new DOMException("aborted", "AbortError")); } catch { /* ended */ }
        });
        wake();
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  }

  push(device: string, body: { epoch?: string; since?: string; head?: string; changes: Change[] }): object {
    const resync = this.#resync(body.epoch, position(body.since).since) ?? this.#diverged(body.since, body.head);
    if (resync) return resync;
    const conflicts: Conflict[] = [];
    const before = this.cts;
    const results = body.changes.map((change) => this.#apply(device, change, conflicts));
    if (this.cts !== before) {
      this.seq += 1;
      for (const wake of [...this.#wakers]) wake();
    }
    return { epoch: this.epoch, now: instant(this.now()), seq: this.seq, head: this.#given(this.cts), results, ...(conflicts.length && { conflicts }) };
  }

  #apply(device: string, { collection, id, op, fields, seen }: Change, conflicts: Conflict[]): Result {
    const refused = this.refuse({ collection, id, op, fields });
    if (refused) return { status: "rejected", ...refused };
    const key = `${collection}/${id}`;
    if (!this.records.has(key) && this.horizon && position(seen).since < this.horizon) {
      return { status: "rejected", reason: "beyond_horizon", message: "the record has been purged" };
    }
    const fresh = { collection, id, fields: new Map<string, Stored>(), complete: false, shown: 0 };
    const record: Record_ = this.records.get(key) ?? fresh;
    this.records.set(key, record);
    const cts = this.cts + 1;
    const told: Fields = {};
    for (const [name, { value, at: sent }] of Object.entries(fields)) {
      const at = this.#stored(`${device}/${key}/${name}`, sent);
      const held = record.fields.get(name);
      if (wins(at + device, value, held && held.at + held.by, held?.value)) {
        record.fields.set(name, { value, at, by: device, cts });
        this.cts = cts;
        if (at !== sent) told[name] = { value, at, by: device };
      } else if (held) {
        const winner = { value: held.value, at: held.at, by: held.by };
        if (held.at !== sent || held.by !== device) told[name] = winner;
        if (held.at !== at || held.by !== device) conflicts.push({ collection, id, field: name, winner, loser: { value, at, by: device } });
      }
    }
    if (op === "insert" && !record.complete) {
      record.complete = true;
      this.cts = record.shown = cts;
    }
    return Object.keys(told).length ? { status: "ok", fields: told } : { status: "ok" };
  }

  /** The time at which a write is stored: never far ahead, and in the order in which its device claims (REC-04). */
  #stored(field: string, sent: string): string {
    const claims = this.claims.get(field) ?? new Map<string, string>();
    this.claims.set(field, claims);
    const known = claims.get(sent);
    if (known) return known;
    let at = Date.parse(sent) > this.now() + MAX_AHEAD_MS ? instant(this.now()) : sent;
    for (const [claim, stored] of claims) if (claim < sent && stored >= at) at = after(stored);
    claims.set(sent, at);
    return at;
  }

  /** The living records of a collection: id → values without nulls. */
  living(collection: string): Record<string, Record<string, unknown>> {
    const rows: Record<string, Record<string, unknown>> = {};
    for (const record of this.records.values()) {
      if (record.collection !== collection || !record.complete || record.fields.get("deletedAt")?.value != null) continue;
      rows[record.id] = Object.fromEntries(
        [...record.fields].filter(([name, { value }]) => name !== "deletedAt" && value !== null).map(([name, { value }]) => [name, value]),
      );
    }
    return rows;
  }
}

export function refusal(status: number, code: string, headers: Record<string, string> = {}, reason = code.toUpperCase()): Response {
  return Response.json({ error: { code, reason, message: `${code} (model)`, request_id: "r1" } }, { status, headers });
}
