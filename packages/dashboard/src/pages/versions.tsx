import { useState } from "react";
import { base, get, post, type Database } from "../api.ts";
import { signInAgain } from "../operator.ts";
import { go } from "../route.ts";
import { useAction, useLoad } from "../ui/load.ts";
import { Empty, Field, Panel, Refused, Table, Time } from "../ui/parts.tsx";
import { bytes, exact, number } from "../ui/words.ts";
import { OwnBackups } from "./own-backups.tsx";

type Version = { version: number; tag: string; time: string; page_size?: number; page_count?: number; pages?: number; bytes?: number };
type Versions = { versions: Version[]; next: number | null };

const PAGE = 100;
const unix = (one: Version): number => Date.parse(one.time) / 1000;

/** How the database was: to be taken as a file, as a new database, or back. */
export function VersionsTab({ database, role, again }: { database: Database; role: string; again: () => void }) {
  const path = `/v1/databases/${database.id}`;
  const [pages, setPages] = useState(1);
  const list = useLoad(path, async (signal) => {
    const versions: Version[] = [];
    let next: number | null = null;
    for (let page = 0; page < pages; page += 1) {
      const found: Versions = await get<Versions>(`${path}/pages/versions?limit=${PAGE}${next === null ? "" : `&before=${next}`}`, signal);
      versions.push(...found.versions);
      next = found.next;
      if (next === null) break;
    }
    return { versions, next };
  }, 10_000);
  const [open, setOpen] = useState<{ what: "fork" | "restore"; of: Version }>();
  const [text, setText] = useState("");
  const [password, setPassword] = useState("");
  const { busy, error, run } = useAction();
  const versions = list.value?.versions ?? [];
  const newest = versions[0];
  const show = (what: "fork" | "restore", of: Version) => {
    setText("");
    setPassword("");
    setOpen({ what, of });
  };
  const fork = () => run(async () => {
    const made = await post<{ id?: string; database?: string }>(`${path}/fork`, { at: open!.of.version, name: text });
    setOpen(undefined);
    const id = made.id ?? made.database;
    if (id) go("databases", id);
  });
  const restore = () => run(async () => {
    await signInAgain(password);
    await post(`${path}/restore`, { at: open!.of.version }, { "If-Match": `"${newest!.tag}"` });
    setOpen(undefined);
    list.again();
    again();
  });
  const isReplica = database.kind === "replica";
  return (
    <>
      <Refused error={list.error} again={list.again} />
      {!list.value && !list.error && <p className="faint" aria-busy="true">Reading…</p>}
      {list.value && versions.length === 0 && <Empty command={`ferry push data.sqlite ${database.name}`}>No version yet: the first write makes one.</Empty>}
      {versions.length > 0 && (
        <Table label="Versions" rows={versions} rowKey={(one) => one.tag} columns={[
          { head: "Version", number: true, cell: (one) => number(one.version) },
          { head: "When", number: true, cell: (one) => <Time unix={unix(one)} /> },
          { head: "Size", number: true, cell: (one) => bytes((one.page_size ?? 0) * (one.page_count ?? 0)) },
          { head: "Pages changed", number: true, cell: (one) => number(one.pages) },
          { head: "File", cell: (one) => <a href={`${base}${path}/file?at=${one.version}`} download={`${database.name}-${one.version}.sqlite`}>Download</a> },
          { head: "", cell: (one) => role === "admin" && (
            <span className="confirm">
              <button type="button" onClick={() => show("fork", one)}>As a new database</button>
              {isReplica && one !== newest && <button type="button" onClick={() => show("restore", one)}>Take back</button>}
            </span>
          ) },
        ]} />
      )}
      {list.value && list.value.next !== null && <p className="line"><button type="button" onClick={() => { setPages(pages + 1); list.again(); }}>More</button></p>}
      {versions.length > 0 && !isReplica && <p className="faint">The hub writes this database: an older state opens as a new database, or as a file. Versions are kept as long as somebody asks for them.</p>}
      {role === "admin" && <OwnBackups database={database} />}
      <Panel open={open?.what === "fork"} title={`Version ${open?.of.version} as a new database`} submit="Make it" busy={busy} error={error} onSubmit={() => void fork()} onClose={() => setOpen(undefined)}>
        <Field label="Name"><input name="name" required autoFocus value={text} onChange={(event) => setText(event.target.value)} /></Field>
      </Panel>
      <Panel open={open?.what === "restore"} title={`Take ${database.name} back to version ${open?.of.version}`} submit="Take it back" danger busy={busy} error={error}
        disabled={text !== database.name} onSubmit={() => void restore()} onClose={() => setOpen(undefined)}>
        <p>What it holds becomes what it was at {open && exact(Math.floor(unix(open.of)))}, as a new version: clients get it, and what is there now stays in this list.</p>
        <Field label={`Type ${database.name}`}><input name="confirm" required autoFocus autoComplete="off" value={text} onChange={(event) => setText(event.target.value)} /></Field>
        <Field label="Your password"><input type="password" name="password" autoComplete="current-password" required value={password} onChange={(event) => setPassword(event.target.value)} /></Field>
      </Panel>
    </>
  );
}
