import { useState } from "react";
import { write } from "../act.ts";
import { get, type Database } from "../api.ts";
import { cellOf, exactJson, shown } from "../exact.ts";
import { go } from "../route.ts";
import { Value } from "../ui/cells.tsx";
import { useAction, useLoad } from "../ui/load.ts";
import { Empty, Link, Refused, Table, Time } from "../ui/parts.tsx";
import { LIVE_MS } from "./databases.tsx";

type Entry = { entity: string; type: unknown; deleted: boolean };
type Entity = Entry & { fields: Record<string, unknown>; text: Record<string, string>; links: Record<string, string[]>; hlc: string; conflicts: string[] };
type Side = { op: string; hlc: string; origin: string; value: unknown };
type Conflict = { id: string; entity: string; field: string; reason: string; losing: Side; winning: Side | null };
type Waiting = Record<string, unknown> & { id: string };

const PAGE = 200;

/** The clock of an op begins with its milliseconds, twelve hexadecimal digits. */
const hlcUnix = (hlc: string): number => Math.floor(parseInt(hlc.slice(0, 12), 16) / 1000);

export function OpsTab({ database, role, rest }: { database: Database; role: string; rest: string[] }) {
  const path = `/v1/databases/${database.id}/ops`;
  const chosen = rest[0] ?? "";
  const [prefix, setPrefix] = useState("");
  const [begins, setBegins] = useState([""]);
  const after = begins.at(-1)!;
  const query = `limit=${PAGE}&prefix=${encodeURIComponent(prefix)}${after ? `&after=${encodeURIComponent(after)}` : ""}&deleted=1`;
  const list = useLoad(`${path} ${query}`, (signal) => get<{ entities: Entry[]; next: string | null }>(`${path}/entities?${query}`, signal), LIVE_MS);
  const entities = list.value?.entities ?? [];
  return (
    <>
      <Conflicts database={database} path={path} role={role} />
      {role === "admin" && <Quarantine path={path} />}
      <h2>Entities</h2>
      <Refused error={list.error} again={list.again} />
      <div className="split">
        <section aria-label="Entities">
          <input type="search" data-filter aria-label="What names begin with" placeholder="Names that begin with" value={prefix}
            onChange={(event) => { setPrefix(event.target.value); setBegins([""]); }} />
          {!list.value && !list.error && <p className="faint" aria-busy="true">Reading…</p>}
          {list.value && entities.length === 0 && <p className="faint">{prefix ? `No name begins with “${prefix}”.` : "No entity yet."}</p>}
          <ul className="names">
            {entities.map((one) => (
              <li key={one.entity}>
                <Link to={["databases", database.id, "ops", one.entity]} current={one.entity === chosen}>{one.entity}</Link>
                {one.deleted && <small className="bad">deleted</small>}
              </li>
            ))}
          </ul>
          {(begins.length > 1 || list.value?.next) && (
            <p className="line">
              <button type="button" disabled={begins.length === 1} onClick={() => setBegins(begins.slice(0, -1))}>Previous</button>
              <button type="button" disabled={!list.value?.next} onClick={() => setBegins([...begins, list.value!.next!])}>Next</button>
            </p>
          )}
        </section>
        <section aria-label="Entity">
          {chosen ? <One path={path} name={chosen} onClose={() => go("databases", database.id, "ops")} />
            : <Empty command={`ferry spoke --help`}>{entities.length ? "Choose an entity." : "Machines that work offline write here. How one is set up:"}</Empty>}
        </section>
      </div>
    </>
  );
}

function One({ path, name, onClose }: { path: string; name: string; onClose: () => void }) {
  const entity = useLoad(`${path} ${name}`, (signal) => get<Entity>(`${path}/entity?entity=${encodeURIComponent(name)}`, signal, exactJson), LIVE_MS);
  const found = entity.value;
  const rows = found ? [
    ...Object.entries(found.fields).map(([field, value]) => ({ field, kind: "field", value: cellOf(value) })),
    ...Object.entries(found.text).map(([field, value]) => ({ field, kind: "text", value })),
    ...Object.entries(found.links).map(([field, value]) => ({ field, kind: "links", value: value.join(", ") })),
  ] : [];
  return (
    <>
      <div className="head"><h2>{name}{found?.deleted && <span className="bad"> deleted</span>}</h2><button type="button" onClick={onClose}>Close</button></div>
      <Refused error={entity.error} again={entity.again} />
      {!found && !entity.error && <p className="faint" aria-busy="true">Reading…</p>}
      {found && <p className="faint">type <code>{shown(found.type)}</code> · newest op <code>{found.hlc}</code>{found.conflicts.length > 0 && <span className="bad"> · {found.conflicts.length} open {found.conflicts.length === 1 ? "conflict" : "conflicts"}</span>}</p>}
      {rows.length > 0 && (
        <Table label={`Fields of ${name}`} rows={rows} rowKey={(one) => `${one.kind} ${one.field}`} columns={[
          { head: "Field", cell: (one) => one.field },
          { head: "Kind", cell: (one) => one.kind },
          { head: "Value", cell: (one) => <Value cell={one.value} name={one.field} /> },
        ]} />
      )}
      {found && rows.length === 0 && <Empty>It has no fields.</Empty>}
    </>
  );
}

function Conflicts({ database, path, role }: { database: Database; path: string; role: string }) {
  const found = useLoad(path, (signal) => get<{ conflicts: Conflict[]; next: string | null }>(`${path}/conflicts?status=open&limit=100`, signal, exactJson), LIVE_MS);
  const action = useAction();
  const resolve = (id: string, take: "winner" | "loser") => action.run(async () => {
    await write(database.id, { model: "ops", ops: ["read", "write"] }, `ops/conflicts/${encodeURIComponent(id)}/resolve`, { take });
    found.again();
  });
  const conflicts = found.value?.conflicts ?? [];
  if (!found.error && !action.error && conflicts.length === 0) return null;
  const side = (one: Side | null, name: string) => one
    ? <div className="side"><Value cell={cellOf(one.value)} name={name} /><small title={one.hlc}><code>{one.origin}</code> <Time unix={hlcUnix(one.hlc)} /></small></div>
    : <span className="faint">deleted</span>;
  return (
    <>
      <h2>Open conflicts</h2>
      <Refused error={action.error ?? found.error} again={found.again} />
      {conflicts.length > 0 && <Table label="Open conflicts" rows={conflicts} rowKey={(one) => one.id} columns={[
        { head: "Entity", cell: (one) => <Link to={["databases", database.id, "ops", one.entity]}>{one.entity}</Link> },
        { head: "Field", cell: (one) => one.field },
        { head: "Stands", cell: (one) => side(one.winning, "what stands") },
        { head: "Lost", cell: (one) => side(one.losing, "what lost") },
        { head: "", cell: (one) => role !== "viewer" && role !== "" && (
          <span className="confirm">
            <button type="button" disabled={action.busy} onClick={() => void resolve(one.id, "winner")}>Keep what stands</button>
            <button type="button" disabled={action.busy} onClick={() => void resolve(one.id, "loser")}>Take what lost</button>
          </span>
        ) },
      ]} />}
      {found.value?.next && <p className="faint">The first 100 are shown.</p>}
    </>
  );
}

function Quarantine({ path }: { path: string }) {
  const found = useLoad(path, (signal) => get<Record<string, unknown>>(`${path}/quarantine?limit=100`, signal, exactJson), LIVE_MS);
  const ops = Object.values(found.value ?? {}).find(Array.isArray) as Waiting[] | undefined;
  if (!ops?.length) return <Refused error={found.error} again={found.again} />;
  return (
    <>
      <h2>Quarantine</h2>
      <p className="faint">Ops that wait for a decision: <code>ferry ops quarantine</code>.</p>
      <ul className="plain">{ops.map((one, at) => <li key={one.id ?? at}><Value cell={shown(one)} name={`op ${one.id ?? at}`} /></li>)}</ul>
    </>
  );
}
