import { useEffect, useState } from "react";
import { rpc, type Database } from "../api.ts";
import { go } from "../route.ts";
import { More, useList } from "../ui/list.tsx";
import { useAction } from "../ui/load.ts";
import { Empty, Field, Link, Panel, Refused, Table, Time } from "../ui/parts.tsx";
import { bytes, number } from "../ui/words.ts";

/** How often lists of live things are read again. */
export const LIVE_MS = 3000;
/** The same of many databases: the hub looks into each. */
const MANY = 50;
const MANY_MS = 30_000;

export function DatabasesPage({ org, role }: { org: string; role: string }) {
  const [filter, setFilter] = useState("");
  const [prefix, setPrefix] = useState("");
  const [isMany, setIsMany] = useState(false);
  const databases = useList<Database>(`${org} ${prefix}`, "ListDatabases", "databases", { org, namePrefix: prefix }, isMany ? MANY_MS : LIVE_MS);
  const count = databases.value?.length ?? 0;
  useEffect(() => setIsMany(count > MANY), [count]);
  // Where not all are shown the hub looks, by what names begin with.
  const isPart = prefix !== "" || !!databases.more;
  useEffect(() => {
    if (!isPart) return;
    const timer = setTimeout(() => setPrefix(filter), 200);
    return () => clearTimeout(timer);
  }, [filter, isPart]);
  const [open, setOpen] = useState(false);
  const [name, setName] = useState("");
  const [kind, setKind] = useState("");
  const { busy, error, run } = useAction();
  const create = () =>
    run(async () => {
      const made = await rpc<Database>("CreateDatabase", { name, org, kind });
      setOpen(false);
      go("databases", made.id);
    });
  // By name, so that no row moves when something is written.
  const rows = (databases.value ?? [])
    .filter((one) => isPart || one.name.toLowerCase().includes(filter.toLowerCase()) || one.id.includes(filter))
    .sort((a, b) => a.name.localeCompare(b.name));
  return (
    <>
      <div className="head">
        <h1>Databases</h1>
        <input type="search" data-filter aria-label="Filter by name" placeholder={isPart ? "Names that begin with" : "Filter"} value={filter} onChange={(event) => setFilter(event.target.value)} />
        {role !== "viewer" && <button type="button" className="primary" onClick={() => setOpen(true)}>New database</button>}
      </div>
      <Refused error={databases.error} again={databases.again} />
      {databases.value?.length === 0 && !prefix && (
        <Empty command="ferry db create notes">No database yet. Make one here, or with:</Empty>
      )}
      {databases.value && (databases.value.length > 0 || prefix) && rows.length === 0 && <Empty>No name {isPart ? "begins with" : "contains"} “{filter}”.</Empty>}
      {rows.length > 0 && (
        <Table label="Databases" rows={rows} rowKey={(one) => one.id} columns={[
          { head: "Name", cell: (one) => <Link to={["databases", one.id]}>{one.name}</Link> },
          { head: "Kind", cell: (one) => one.kind || <span className="faint">open</span> },
          { head: "Seq", number: true, cell: (one) => number(one.seq) },
          { head: "Models", cell: (one) => one.lanes?.map((lane) => lane.model).join(", ") || <span className="faint">none yet</span> },
          { head: "Size", number: true, cell: (one) => bytes(one.sizeBytes) },
          { head: "Connections", number: true, cell: (one) => number(one.connections) },
          { head: "Last activity", number: true, cell: (one) => <Time unix={one.lastActivityUnix} /> },
          { head: "Made", number: true, cell: (one) => <Time unix={one.createdAtUnix} /> },
          { head: "Id", cell: (one) => <code>{one.id}</code> },
        ]} />
      )}
      <More list={databases} />
      <Panel open={open} title="New database" submit="Make it" busy={busy} error={error} onSubmit={() => void create()} onClose={() => setOpen(false)}>
        <Field label="Name"><input name="name" required autoFocus value={name} onChange={(event) => setName(event.target.value)} /></Field>
        <Field label="Kind" hint="A hub database takes events, records, ops and functions; a replica is a file that one client pushes.">
          <select value={kind} onChange={(event) => setKind(event.target.value)}>
            <option value="">as its first write decides</option>
            <option value="hub">hub</option>
            <option value="replica">replica</option>
          </select>
        </Field>
      </Panel>
    </>
  );
}
