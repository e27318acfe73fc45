import { useState } from "react";
import { post, rpc, type Database, type Org } from "../api.ts";
import { signInAgain } from "../operator.ts";
import { go } from "../route.ts";
import { useAction, useLoad } from "../ui/load.ts";
import { Copy, Empty, Field, Link, Panel, Refused, Table, Time } from "../ui/parts.tsx";
import { bytes, number } from "../ui/words.ts";
import { LIVE_MS } from "./databases.tsx";
import { ClientsTab } from "./clients.tsx";
import { EventsTab } from "./events.tsx";
import { FunctionsTab } from "./functions.tsx";
import { KeysTab } from "./keys.tsx";
import { LogTab } from "./log.tsx";
import { OpsTab } from "./ops.tsx";
import { RecordsTab } from "./records.tsx";
import { SqlTab } from "./sql.tsx";
import { TablesTab } from "./tables.tsx";
import { TokensTab } from "./tokens.tsx";
import { VersionsTab } from "./versions.tsx";

/** Parts of a database's page; what `adminOnly` shows is the hub's to refuse, and is not offered to others. */
const TABS = [
  { path: "", name: "Overview", adminOnly: false },
  { path: "tables", name: "Tables", adminOnly: false },
  { path: "sql", name: "SQL", adminOnly: false },
  { path: "records", name: "Records", adminOnly: false },
  { path: "log", name: "Events", adminOnly: false },
  { path: "ops", name: "Ops", adminOnly: false },
  { path: "functions", name: "Functions", adminOnly: true },
  { path: "versions", name: "Versions", adminOnly: false },
  { path: "clients", name: "Clients", adminOnly: false },
  { path: "tokens", name: "Tokens", adminOnly: false },
  { path: "keys", name: "API keys", adminOnly: true },
  { path: "events", name: "Event stores", adminOnly: true },
];

export function DatabasePage({ id, tab, rest, orgs }: { id: string; tab: string; rest: string[]; orgs: Org[] }) {
  const database = useLoad(id, (signal) => rpc<Database>("GetDatabase", { database: id }, signal), LIVE_MS);
  const found = database.value;
  const role = orgs.find((one) => one.id === found?.orgId)?.role ?? "";
  const admin = role === "admin";
  if (!found) {
    return database.error
      ? <><h1>Database</h1><Refused error={database.error} again={database.again} /><Link to={["databases"]}>All databases</Link></>
      : <p className="faint" aria-busy="true">Asking the hub…</p>;
  }
  if (!role) return <><h1>Database</h1><p className="empty">You do not belong to its organisation any more. <Link to={["databases"]}>All databases</Link></p></>;
  return (
    <>
      <div className="head">
        <h1><Link to={["databases"]}>Databases</Link> / <span>{found.name}</span></h1>
        <code className="id">{found.id}</code><Copy text={found.id} label="Copy id" />
      </div>
      <nav className="tabs" aria-label="Parts of the database">
        {TABS.filter((one) => !one.adminOnly || admin).map((one) => (
          <Link key={one.path} to={one.path ? ["databases", id, one.path] : ["databases", id]} current={one.path === tab}>{one.name}</Link>
        ))}
      </nav>
      <Refused error={database.error} again={database.again} />
      {tab === "" && <Overview database={found} role={role} again={database.again} />}
      {tab === "tables" && <TablesTab database={found} name={rest[0] ?? ""} />}
      {tab === "sql" && <SqlTab database={found} />}
      {tab === "records" && <RecordsTab database={found} role={role} rest={rest} />}
      {tab === "log" && <LogTab database={found} store={rest[0] ?? ""} role={role} />}
      {tab === "ops" && <OpsTab database={found} role={role} rest={rest} />}
      {tab === "functions" && <FunctionsTab database={found} />}
      {tab === "versions" && <VersionsTab database={found} role={role} again={database.again} />}
      {tab === "clients" && <ClientsTab database={found} role={role} />}
      {tab === "tokens" && <TokensTab database={found} role={role} />}
      {tab === "keys" && <KeysTab database={found} />}
      {tab === "events" && <EventsTab database={found} />}
    </>
  );
}

function Overview({ database, role, again }: { database: Database; role: string; again: () => void }) {
  const [open, setOpen] = useState<"" | "rename" | "fork" | "delete">("");
  const [text, setText] = useState("");
  const [password, setPassword] = useState("");
  const { busy, error, run } = useAction();
  const show = (which: typeof open, text: string) => {
    setText(text);
    setPassword("");
    setOpen(which);
  };
  const rename = () => run(async () => {
    await rpc("RenameDatabase", { database: database.id, name: text });
    setOpen("");
    again();
  });
  const fork = () => run(async () => {
    const made = await post<{ id: string }>(`/v1/databases/${database.id}/fork`, { name: text });
    setOpen("");
    go("databases", made.id);
  });
  const remove = () => run(async () => {
    await signInAgain(password);
    await rpc("DeleteDatabase", { databaseId: database.id, confirmName: text });
    go("databases");
  });
  const lanes = database.lanes ?? [];
  return (
    <>
      <dl className="facts">
        <div><dt>Kind</dt><dd>{database.kind || "open until its first write"}</dd></div>
        <div><dt>Seq</dt><dd data-testid="seq">{number(database.seq)}</dd></div>
        <div><dt>Size</dt><dd>{bytes(database.sizeBytes)}</dd></div>
        <div><dt>Connections</dt><dd>{number(database.connections)}</dd></div>
        <div><dt>Last activity</dt><dd><Time unix={database.lastActivityUnix} /></dd></div>
        <div><dt>Made</dt><dd><Time unix={database.createdAtUnix} /></dd></div>
      </dl>
      <h2>Models</h2>
      {lanes.length === 0
        ? <Empty command={`ferry push data.sqlite ${database.name}`}>No model has written here yet. An app that syncs, or this, begins:</Empty>
        : <Table label="Models" rows={lanes} rowKey={(lane) => lane.model} columns={[
            { head: "Model", cell: (lane) => lane.model },
            { head: "Newest seq", number: true, cell: (lane) => number(lane.headSeq) },
            { head: "Items", number: true, cell: (lane) => number(lane.items) },
            { head: "Size", number: true, cell: (lane) => bytes(lane.bytes) },
            { head: "Last activity", number: true, cell: (lane) => <Time unix={lane.lastActivityUnix} /> },
          ]} />}
      {role === "admin" && (
        <p className="buttons">
          <button type="button" onClick={() => show("rename", database.name)}>Rename</button>
          {database.seq && <button type="button" onClick={() => show("fork", `${database.name}-copy`)}>Fork</button>}
          <button type="button" className="danger" onClick={() => show("delete", "")}>Delete</button>
        </p>
      )}
      <Panel open={open === "rename"} title={`Rename ${database.name}`} submit="Rename" busy={busy} error={error} onSubmit={() => void rename()} onClose={() => setOpen("")}>
        <Field label="New name" hint="Clients that name the database by its id notice nothing.">
          <input name="name" required autoFocus value={text} onChange={(event) => setText(event.target.value)} />
        </Field>
      </Panel>
      <Panel open={open === "fork"} title={`Fork ${database.name}`} submit="Make it" busy={busy} error={error} onSubmit={() => void fork()} onClose={() => setOpen("")}>
        <p>A new database with all that this one holds now. It has an identity, tokens and keys of its own, and goes its own way.</p>
        <Field label="Name of the new database"><input name="name" required autoFocus value={text} onChange={(event) => setText(event.target.value)} /></Field>
      </Panel>
      <Panel open={open === "delete"} title={`Delete ${database.name}`} submit="Delete for good" danger busy={busy} error={error}
        disabled={text !== database.name} onSubmit={() => void remove()} onClose={() => setOpen("")}>
        <p>All {number(database.seq)} commits, its tokens and its keys go with it. Copies that clients hold stay theirs.</p>
        <Field label={`Type ${database.name}`}><input name="confirm" required autoFocus autoComplete="off" value={text} onChange={(event) => setText(event.target.value)} /></Field>
        <Field label="Your password"><input type="password" name="password" autoComplete="current-password" required value={password} onChange={(event) => setPassword(event.target.value)} /></Field>
      </Panel>
    </>
  );
}
