import { useEffect, useState } from "react";
import { rpc, type Database } from "../api.ts";
import { enter, isFresh, operatorRpc } from "../operator.ts";
import { useAction, useLoad } from "../ui/load.ts";
import { Empty, Field, Link, Panel, Refused, Table, Time } from "../ui/parts.tsx";
import { bytes, exact, number } from "../ui/words.ts";

type Target = { target: string; state: string; lastSnapshotUnix?: string; nextSnapshotUnix?: string; error?: string };
type Backup = {
  id: string; timeUnixMs?: string; scope?: string; databases?: string; bytes?: string; newBytes?: string; state?: string; verifiedUnix?: string; target?: string;
};
type Job = { id: string; kind: string; state: string; done?: string; total?: string; error?: string; resultJson?: string };

/** What a job put back. */
function restored({ state, resultJson }: Job): { id: string; name: string }[] {
  if (state !== "done" || !resultJson) return [];
  return (JSON.parse(resultJson) as { restored?: { id: string; name: string }[] }).restored ?? [];
}

export function Backups({ org }: { org: string }) {
  const status = useLoad("status", (signal) => operatorRpc<{ targets?: Target[] }>("GetBackupStatus", {}, signal), 5000);
  const list = useLoad("list", (signal) => operatorRpc<{ backups?: Backup[] }>("ListBackups", {}, signal), 15_000);
  const [job, setJob] = useState<Job>();
  const [restoring, setRestoring] = useState<Backup>();
  const { busy, error, run } = useAction();
  const begin = (method: string, message: object) => run(async () => setJob(await operatorRpc<Job>(method, message)));
  useEffect(() => {
    if (job?.state !== "running") return;
    const timer = setInterval(() => void operatorRpc<Job>("GetJob", { id: job.id }).then((next) => {
      setJob(next);
      if (next.state !== "running") {
        status.again();
        list.again();
      }
    }, () => undefined), 500);
    return () => clearInterval(timer);
  }, [job?.id, job?.state, status.again, list.again]);
  const targets = status.value?.targets ?? [];
  const backups = list.value?.backups ?? [];
  const isRunning = busy || job?.state === "running";
  return (
    <>
      <div className="head">
        <h2>Backups</h2>
        <button type="button" disabled={isRunning || targets.length === 0} onClick={() => void begin("CreateBackup", {})}>Back up now</button>
        <button type="button" disabled={isRunning || backups.length === 0} onClick={() => void begin("VerifyBackup", {})}>Verify the newest</button>
      </div>
      <Refused error={error ?? status.error ?? list.error} again={() => { status.again(); list.again(); }} />
      {job && <p role="status">{job.kind}: <b className={job.state === "failed" ? "bad" : ""}>{job.state}</b>{Number(job.total) > 0 && `, ${number(job.done)} of ${number(job.total)} databases`}{job.error && <span className="bad">: {job.error}</span>}{restored(job).map(({ id, name }) => <span key={id}>: <Link to={["databases", id]}>{name}</Link></span>)}</p>}
      {status.value && targets.length === 0 && <Empty command={`ferry serve --backup-target file:///backups`}>This hub keeps no backups. Say where to:</Empty>}
      {targets.length > 0 && (
        <Table label="Targets" rows={targets} rowKey={(one) => one.target} columns={[
          { head: "Target", cell: (one) => one.target },
          { head: "State", cell: (one) => <span className={one.state === "ok" ? "" : "bad"}>{one.state}{one.error && `: ${one.error}`}</span> },
          { head: "Last", number: true, cell: (one) => <Time unix={one.lastSnapshotUnix} /> },
          { head: "Next", number: true, cell: (one) => <Time unix={one.nextSnapshotUnix} /> },
        ]} />
      )}
      {targets.length > 0 && list.value && backups.length === 0 && <Empty command="ferry backup create">None was taken yet. One is due at the time above, or now:</Empty>}
      {backups.length > 0 && (
        <Table label="Backups" rows={backups.slice(0, 500)} rowKey={(one) => `${one.target} ${one.id}`} columns={[
          { head: "Id", cell: (one) => <code>{one.id}</code> },
          { head: "Taken", number: true, cell: (one) => <Time unix={Number(one.timeUnixMs ?? 0) / 1000} /> },
          { head: "Of", cell: (one) => one.scope },
          { head: "Databases", number: true, cell: (one) => number(one.databases) },
          { head: "Size", number: true, cell: (one) => bytes(one.bytes) },
          { head: "New", number: true, cell: (one) => bytes(one.newBytes) },
          { head: "State", cell: (one) => <span className={one.state === "complete" ? "" : "bad"}>{one.state}</span> },
          { head: "Verified", number: true, cell: (one) => <Time unix={one.verifiedUnix} /> },
          { head: "Target", cell: (one) => one.target },
          { head: "", cell: (one) => one.state === "complete" && <button type="button" disabled={isRunning} onClick={() => setRestoring(one)}>Put back…</button> },
        ]} />
      )}
      {backups.length > 0 && <p className="faint">A whole hub is put back where it is not running: <code>ferry backup restore --help</code></p>}
      {restoring && <Restore backup={restoring} org={org} onBegun={(begun) => { setRestoring(undefined); setJob(begun); }} onClose={() => setRestoring(undefined)} />}
    </>
  );
}

/** Puts one database of a backup back: beside what lives, or in its place. */
function Restore({ backup, org, onBegun, onClose }: { backup: Backup; org: string; onBegun: (job: Job) => void; onClose: () => void }) {
  // Those that live; the backup may hold others, which are typed.
  const known = useLoad(`databases ${org}`, (signal) => rpc<{ databases?: Database[] }>("ListDatabases", { org, pageSize: 1000 }, signal));
  const isOne = backup.scope !== "hub";
  const [database, setDatabase] = useState(isOne ? (backup.scope ?? "") : "");
  const [replace, setReplace] = useState(false);
  const [newName, setNewName] = useState("");
  const [confirmName, setConfirmName] = useState("");
  const [token, setToken] = useState("");
  const { busy, error, run } = useAction();
  const asks = replace && !isFresh();
  const living = known.value?.databases?.find((one) => one.id === database || one.name === database);
  const submit = () => run(async () => {
    if (asks) await enter(token.trim());
    const where = replace ? { replace, confirmName } : { newName };
    onBegun(await operatorRpc<Job>("RestoreDatabase", { database, backupId: backup.id, ...where }));
  });
  return (
    <Panel open title="Put a database back" submit={replace ? "Put it in its place" : "Put it back"} danger={replace} busy={busy} error={error}
      disabled={replace && (confirmName === "" || (living !== undefined && confirmName !== living.name))} onSubmit={() => void submit()} onClose={onClose}>
      <p>As it was {exact(Math.floor(Number(backup.timeUnixMs ?? 0) / 1000))}, in backup <code>{backup.id}</code>.</p>
      <Field label="Database" hint="Its name, or its id if the backup has several of that name.">
        <input name="database" list="databases" required autoFocus autoComplete="off" readOnly={isOne} value={database} onChange={(event) => setDatabase(event.target.value)} />
        <datalist id="databases">{known.value?.databases?.map((one) => <option key={one.id} value={one.name}>{one.id}</option>)}</datalist>
      </Field>
      <fieldset>
        <legend>Where to</legend>
        <label><input type="radio" name="place" checked={!replace} onChange={() => setReplace(false)} />Beside what lives, as a new database</label>
        <label><input type="radio" name="place" checked={replace} onChange={() => setReplace(true)} />In its own place</label>
      </fieldset>
      {!replace && <Field label="New name"><input name="new-name" required autoComplete="off" value={newName} onChange={(event) => setNewName(event.target.value)} /></Field>}
      {replace && (
        <>
          <p>What it holds now goes to the hub’s trash. Its clients are told that it was put back, and sync anew.</p>
          <Field label={`Type ${living?.name ?? "its name"}`}><input name="confirm" required autoComplete="off" value={confirmName} onChange={(event) => setConfirmName(event.target.value)} /></Field>
          {asks && <Field label="Operator token, once more" hint="It was typed more than 5 minutes ago."><input type="password" name="operator" required autoComplete="off" value={token} onChange={(event) => setToken(event.target.value)} /></Field>}
        </>
      )}
    </Panel>
  );
}
