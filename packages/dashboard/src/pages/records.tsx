import { useRef, useState } from "react";
import { write } from "../act.ts";
import { get, type Database } from "../api.ts";
import { cellOf, exactJson, shown } from "../exact.ts";
import { go } from "../route.ts";
import { Value } from "../ui/cells.tsx";
import { useAction, useLoad } from "../ui/load.ts";
import { Empty, Link, Refused, Table, Time, type Column } from "../ui/parts.tsx";
import { Reading, Seen, VirtualTable } from "../ui/virtual.tsx";
import type { Pager } from "../ui/window.ts";
import { exact, number } from "../ui/words.ts";

type Collection = { app: string; collection: string; records: number; deleted: number };
type Brief = { id: string; cts: string; deletedAt?: string; deletedBy?: string; data: Record<string, unknown> };
type Field = { value: unknown; at: string; writer: string };
type RecordShown = Brief & { deleted: boolean; fields: Record<string, Field> };
type Entry = { cts: string; changes: { op: string; client: string; fields?: Record<string, { value: unknown }> }[] };
type Side = { value: unknown; at: string; by: string };
type Conflict = { id: number; found: string; app: string; collection: string; record: string; field: string; winner: Side; loser: Side };

const PAGE = 100;
/** Fields that have a column of their own. */
const FIELDS_MAX = 12;
/** In a path: the records of whoever asks. */
const OWN = "-";

/** When the hub took it in: its clock counts nanoseconds. */
const unix = (cts: string): number => Number(BigInt(cts) / 1_000_000n) / 1000;

export function RecordsTab({ database, role, rest }: { database: Database; role: string; rest: string[] }) {
  const [owner = OWN, app = "", collection = "", record = ""] = rest;
  const path = `/v1/databases/${database.id}/records`;
  const of = owner === OWN ? "" : `owner=${encodeURIComponent(owner)}`;
  const open = (...parts: string[]) => go("databases", database.id, "records", ...parts);
  const owners = useLoad(`${path} ${role}`, async (signal) =>
    role === "admin" ? get<{ owners: { owner: string; records: number }[]; next: string | null }>(`${path}/owners?limit=1000`, signal) : undefined);
  const collections = useLoad(`${path} ${of}`, (signal) => get<{ collections: Collection[] }>(`${path}/collections?${of}`, signal), 5000);
  const list = owners.value?.owners ?? [];
  return (
    <>
      {role === "admin" && list.length > 0 && (
        <p className="line">
          <label>Records of <select value={owner} onChange={(event) => open(event.target.value)}>
            <option value={OWN}>yourself</option>
            {owner !== OWN && !list.some((one) => one.owner === owner) && <option>{owner}</option>}
            {list.map((one) => <option key={one.owner} value={one.owner}>{one.owner} ({number(one.records)})</option>)}
          </select></label>
          {owners.value?.next && <span className="faint">The first 1,000 owners. Others open by their name in the address.</span>}
        </p>
      )}
      <Refused error={owners.error ?? collections.error} again={collections.again} />
      {!collections.value && !collections.error && <p className="faint" aria-busy="true">Reading…</p>}
      {collections.value?.collections.length === 0 && (
        <Empty command={`ferry db token ${database.name} --op read,write`}>
          {owner === OWN ? "No records are yours here." : "This owner has no records."} {role === "admin" && list.length > 0 && owner === OWN && "Others have some: choose them above. "}A token for an app that writes:
        </Empty>
      )}
      {!!collections.value?.collections.length && (
        <div className="split">
          <section aria-label="Collections">
            <ul className="names">
              {collections.value.collections.map((one) => (
                <li key={`${one.app}/${one.collection}`}>
                  <Link to={["databases", database.id, "records", owner, one.app, one.collection]} current={one.app === app && one.collection === collection}>{one.app} / {one.collection}</Link>
                  <small>{number(one.records)}</small>
                </li>
              ))}
            </ul>
          </section>
          <section aria-label="Records">
            {collection
              ? <Records key={`${owner}/${app}/${collection}`} path={path} of={of} app={app} collection={collection} record={record} onOpen={(id) => open(owner, app, collection, ...(id ? [id] : []))} />
              : <Empty>Choose a collection.</Empty>}
          </section>
        </div>
      )}
      <Conflicts database={database} path={path} of={of} role={role} />
    </>
  );
}

function Records(props: { path: string; of: string; app: string; collection: string; record: string; onOpen: (id: string) => void }) {
  const { of } = props;
  const path = `${props.path}/${encodeURIComponent(props.app)}/${encodeURIComponent(props.collection)}`;
  /** Fields of all that was seen: columns do not go as one scrolls. */
  const seen = useRef(new Set<string>());
  const [order, setOrder] = useState("newest");
  const [deleted, setDeleted] = useState("false");
  const query = `order=${order}&deleted=${deleted}&${of}`;
  const pager: Pager<Brief, string> = {
    after: async (after = "", signal) => {
      const page = await get<{ records: Brief[]; next: string | null }>(`${path}?limit=${PAGE}&after=${encodeURIComponent(after)}&${query}`, signal, exactJson);
      return { rows: page.records, hasMore: page.next !== null };
    },
    keyOf: (one) => order === "id" ? one.id : one.cts,
  };
  const columns = (records: Brief[]): Column<Brief>[] => {
    for (const one of records) for (const field of Object.keys(one.data)) seen.current.add(field);
    const fields = [...seen.current];
    return [
      { head: "Id", cell: (one) => <button type="button" className="value" aria-label={`Open record ${one.id}`} onClick={() => props.onOpen(one.id)}>{one.id}</button> },
      ...(deleted === "false" ? [] : [{ head: "Deleted", cell: (one: Brief) => one.deletedAt && <><code>{one.deletedBy}</code> <Moment text={one.deletedAt} /></> }]),
      ...fields.slice(0, FIELDS_MAX).map((field): Column<Brief> => ({ head: field, cell: (one) => field in one.data ? <Value cell={cellOf(one.data[field])} name={field} /> : null })),
      ...(fields.length > FIELDS_MAX ? [{ head: "…", cell: (one: Brief) => <Value cell={shown(one.data)} name={one.id} /> }] : []),
      { head: "Taken in", number: true, cell: (one) => <Time unix={unix(one.cts)} /> },
    ];
  };
  return (
    <VirtualTable label={`Records of ${props.collection}`} id={`${path} ${query}`} pager={pager} columns={columns} everyMs={3000}>
      {(shown, rows) => (
        <>
          <p className="line">
            <select aria-label="Order" value={order} onChange={(event) => setOrder(event.target.value)}>
              <option value="newest">Newest first</option>
              <option value="id">By id</option>
            </select>
            <select aria-label="Deleted ones" value={deleted} onChange={(event) => setDeleted(event.target.value)}>
              <option value="false">Without deleted ones</option>
              <option value="true">Deleted ones, too</option>
              <option value="only">Deleted ones</option>
            </select>
          </p>
          <Reading shown={shown} />
          {shown.isRead && shown.rows.length === 0 && <Empty>There are none of this kind.</Empty>}
          {props.record && <One path={path} of={of} id={props.record} onClose={() => props.onOpen("")} />}
          {shown.rows.length > 0 && (
            <p className="line">
              <button type="button" disabled={shown.isStart} onClick={() => shown.begin("first")}>First</button>
              <span className="faint"><Seen shown={shown} /></span>
            </p>
          )}
          {rows}
        </>
      )}
    </VirtualTable>
  );
}

function One({ path, of, id, onClose }: { path: string; of: string; id: string; onClose: () => void }) {
  const at = `${path}/${encodeURIComponent(id)}`;
  const record = useLoad(`${at} ${of}`, (signal) => get<RecordShown>(`${at}?${of}`, signal, exactJson), 3000);
  const history = useLoad(`${at} ${of}`, (signal) => get<{ entries: Entry[] }>(`${at}/history?${of}`, signal, exactJson), 3000);
  const found = record.value;
  return (
    <section className="once" aria-label={`Record ${id}`}>
      <div className="head"><h2>{id}{found?.deleted && <span className="bad"> deleted</span>}</h2><button type="button" onClick={onClose}>Close</button></div>
      <Refused error={record.error ?? history.error} again={record.again} />
      {found && (
        <Table label={`Fields of ${id}`} rows={Object.keys(found.fields)} rowKey={(field) => field} columns={[
          { head: "Field", cell: (field) => field },
          { head: "Value", cell: (field) => <Value cell={cellOf(found.fields[field]!.value)} name={field} /> },
          { head: "Written", cell: (field) => <Moment text={found.fields[field]!.at} /> },
          { head: "By", cell: (field) => <code>{found.fields[field]!.writer}</code> },
        ]} />
      )}
      <History entries={history.value?.entries ?? []} />
    </section>
  );
}

/** What was written to a record, field by field, beside what was written there before. */
function History({ entries }: { entries: Entry[] }) {
  const known: Record<string, unknown> = {};
  const rows = entries.toReversed().flatMap(({ cts, changes }) => changes.flatMap(({ op, client, fields = {} }) => Object.entries(fields).map(([field, { value }]) => {
    const before = known[field];
    known[field] = value;
    return { cts, op, client, field, value, before };
  }))).reverse();
  if (rows.length === 0) return null;
  return (
    <details>
      <summary>History, {number(entries.length)} {entries.length === 1 ? "entry" : "entries"}, the newest first</summary>
      <Table label="History" rows={rows.map((row, at) => ({ ...row, at }))} rowKey={(row) => String(row.at)} columns={[
        { head: "Taken in", cell: (row) => exact(unix(row.cts)) },
        { head: "By", cell: (row) => <code>{row.client}</code> },
        { head: "What", cell: (row) => row.op },
        { head: "Field", cell: (row) => row.field },
        { head: "Before", cell: (row) => row.before !== undefined && <Value cell={cellOf(row.before)} name={row.field} /> },
        { head: "Written", cell: (row) => <Value cell={cellOf(row.value)} name={row.field} /> },
      ]} />
    </details>
  );
}

/** A moment of a writer's clock, which may have more digits than a time. */
export function Moment({ text }: { text: string }) {
  const at = Date.parse(text) / 1000;
  return Number.isFinite(at) ? <span title={text}><Time unix={at} /></span> : <code>{text}</code>;
}

function Conflicts({ database, path, of, role }: { database: Database; path: string; of: string; role: string }) {
  const found = useLoad(`${path} ${of}`, (signal) => get<{ conflicts: Conflict[]; next: number | null }>(`${path}/conflicts?limit=100&${of}`, signal, exactJson), 5000);
  const action = useAction();
  const resolve = (id: number, take: "winner" | "loser") => action.run(async () => {
    const ops = role === "admin" ? ["read", "write", "admin"] : ["read", "write"];
    await write(database.id, { model: "records", ops }, `records/conflicts/${id}/resolve?${of}`, { take });
    found.again();
  });
  const conflicts = found.value?.conflicts ?? [];
  if (!found.error && conflicts.length === 0) return null;
  return (
    <>
      <h2>Open conflicts</h2>
      <Refused error={action.error ?? found.error} again={found.again} />
      <Table label="Open conflicts" rows={conflicts} rowKey={(one) => String(one.id)} columns={[
        { head: "Record", cell: (one) => <>{one.app} / {one.collection} / {one.record}</> },
        { head: "Field", cell: (one) => one.field || <span className="faint">the whole record</span> },
        { head: "Stands", cell: (one) => <div className="side"><Value cell={cellOf(one.winner.value)} name="what stands" /><small><code>{one.winner.by}</code> <Moment text={one.winner.at} /></small></div> },
        { head: "Lost", cell: (one) => <div className="side"><Value cell={cellOf(one.loser.value)} name="what lost" /><small><code>{one.loser.by}</code> <Moment text={one.loser.at} /></small></div> },
        { head: "", cell: (one) => role !== "viewer" && role !== "" && (
          <span className="confirm">
            <button type="button" disabled={action.busy} onClick={() => void resolve(one.id, "winner")}>Keep what stands</button>
            <button type="button" disabled={action.busy} onClick={() => void resolve(one.id, "loser")}>Take what lost</button>
          </span>
        ) },
      ]} />
    </>
  );
}
