import { useState } from "react";
import { rpc, type Database } from "../api.ts";
import { signInAgain } from "../operator.ts";
import { JobState, useJob, type Job } from "../ui/job.tsx";
import { useAction, useLoad } from "../ui/load.ts";
import { Field, Panel, Refused, Table, Time } from "../ui/parts.tsx";
import { exact, number } from "../ui/words.ts";
import type { Backup } from "./backups.tsx";

const SHOWN = 200;
const time = (one: Backup): number => Math.floor(Number(one.timeUnixMs ?? 0) / 1000);

/** The hub's backups that have this database, for its admins: one opens beside what lives. */
export function OwnBackups({ database }: { database: Database }) {
  const list = useLoad(database.id, (signal) => rpc<{ backups?: Backup[] }>("ListBackups", { database: database.id }, signal));
  const [job, setJob] = useJob(rpc<Job>, list.again);
  const [open, setOpen] = useState<Backup>();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const { busy, error, run } = useAction();
  const restore = () => run(async () => {
    await signInAgain(password);
    setJob(await rpc<Job>("RestoreDatabase", { database: database.id, backupId: open!.id, newName: name }));
    setOpen(undefined);
  });
  const backups = (list.value?.backups ?? []).filter((one) => one.state === "complete");
  const show = (one: Backup) => {
    setName(`${database.name}-${new Date(time(one) * 1000).toISOString().slice(0, 10)}`);
    setPassword("");
    setOpen(one);
  };
  return (
    <>
      <h2>Backups that have it</h2>
      <Refused error={list.error} again={list.again} />
      <JobState job={job} />
      {list.value && backups.length === 0 && <p className="faint">None: the hub’s operator says whether it keeps backups, and where.</p>}
      {backups.length > 0 && (
        <Table label="Backups" rows={backups.slice(0, SHOWN)} rowKey={(one) => one.id} columns={[
          { head: "Taken", number: true, cell: (one) => <Time unix={time(one)} /> },
          { head: "Of", cell: (one) => one.scope === "hub" ? "the whole hub" : "this database" },
          { head: "Verified", number: true, cell: (one) => <Time unix={one.verifiedUnix} /> },
          { head: "Id", cell: (one) => <code>{one.id}</code> },
          { head: "", cell: (one) => <button type="button" disabled={job?.state === "running"} onClick={() => show(one)}>Open beside it…</button> },
        ]} />
      )}
      {backups.length > SHOWN && <p className="faint">The newest {number(SHOWN)} are shown.</p>}
      <Panel open={!!open} title={`${database.name} as it was, beside what lives`} submit="Put it back" busy={busy} error={error} onSubmit={() => void restore()} onClose={() => setOpen(undefined)}>
        <p>As it was {open && exact(time(open))}, as a new database: nothing of what lives now is touched. In its place only the hub’s operator puts a backup.</p>
        <Field label="Name of the new database"><input name="name" required autoFocus autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} /></Field>
        <Field label="Your password"><input type="password" name="password" autoComplete="current-password" required value={password} onChange={(event) => setPassword(event.target.value)} /></Field>
      </Panel>
    </>
  );
}
