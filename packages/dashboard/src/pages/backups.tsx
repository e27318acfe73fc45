import { useState } from "react";
import { rpc, type Database } from "../api.ts";
import { asksAgain, isOperator, operatorRpc, prove } from "../operator.ts";
import { JobState, useJob, type Job } from "../ui/job.tsx";
import { useAction, useLoad } from "../ui/load.ts";
import { Confirm, Empty, Field, Panel, Proof, Refused, Table, Time } from "../ui/parts.tsx";
import { bytes, exact, number } from "../ui/words.ts";

type Target = { target: string; state: string; lastSnapshotUnix?: string; nextSnapshotUnix?: string; error?: string };
export type Backup = {
  id: string; timeUnixMs?: string; scope?: string; databases?: string; bytes?: string; newBytes?: string; state?: string; verifiedUnix?: string; target?: string;
};
export function Backups({ org }: { org: string }) {
  const status = useLoad("status", (signal) => operatorRpc<{ targets?: Target[] }>("GetBackupStatus", {}, signal), 5000);
  const list = useLoad("list", (signal) => operatorRpc<{ backups?: Backup[] }>("ListBackups", {}, signal), 15_000);
  const [job, setJob] = useJob(operatorRpc, () => {
    status.again();
    list.again();
  });
  const [restoring, setRestoring] = useState<Backup>();
  const [resuming, setResuming] = useState<"resume" | "takeOver">();
  const { busy, error, run } = useAction();
  const begin = (method: string, message: object) => run(async () => setJob(await operatorRpc<Job>(method, message)));
  const pause = () => run(async () => {
    await operatorRpc("PauseBackups");
    status.again();
  });
  const targets = status.value?.targets ?? [];
  const isPaused = targets.some(({ state }) => state === "paused");
  const isTaken = targets.some(({ state }) => state === "taken");
  const backups = list.value?.backups ?? [];
  const isRunning = busy || job?.state === "running";
  return (
    <>
      <div className="head">
        <h2>Backups</h2>
        <button type="button" disabled={isRunning || targets.length === 0} onClick={() => void begin("CreateBackup", {})}>Back up now</button>
        <button type="button" disabled={isRunning || backups.length === 0} onClick={() => void begin("VerifyBackup", {})}>Verify the newest</button>
        {isPaused
          ? <button type="button" className="primary" onClick={() => setResuming("resume")}>Resume…</button>
          : targets.length > 0 && <Confirm label="Pause" ask="Nothing is backed up by itself until somebody resumes it." onYes={() => void pause()} />}
      </div>
      <Refused error={error ?? status.error ?? list.error} again={() => { status.again(); list.again(); }} />
      <JobState job={job} />
      {isPaused && <p role="status" className="bad">Paused: nothing is taken, shipped, removed or verified but what you ask for, also after the hub is started again.</p>}
      {isTaken && (
        <div className="refused" role="status">
          <span>Another hub ships to a target as this one: a copy of it, or what it was copied from. This one has stopped there. Which of the two goes on?</span>
          <button type="button" onClick={() => setResuming("takeOver")}>This one: take over…</button>
        </div>
      )}
      {status.value && targets.length === 0 && <Empty command={`ferry serve --backup-target file:///backups`}>This hub keeps no backups. Say where to:</Empty>}
      {targets.length > 0 && (
        <Table label="Targets" rows={targets} rowKey={(one) => one.target} columns={[
          { head: "Target", cell: (one) => one.target },
          { head: "State", cell: (one) => <span className={one.state === "ok" ? "" : "bad"}>{one.state}{one.error && `: ${one.error}`}</span> },
          { head: "Last", number: true, cell: (one) => <Time unix={one.lastSnapshotUnix} /> },
          { head: "Next", number: true, cell: (one) => <Time unix={one.nextSnapshotUnix} /> },
        ]} />
      )}
      {targets.length > 0 && list.value && backups.length === 0 && <Empty command="ferry backup create">None was taken yet. {isPaused ? "One is taken when you ask for it:" : "One is due at the time above, or now:"}</Empty>}
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
      {resuming && <Resume takeOver={resuming === "takeOver"} onDone={() => { setResuming(undefined); status.again(); }} onClose={() => setResuming(undefined)} />}
      {restoring && <Restore backup={restoring} org={org} onBegun={(begun) => { setRestoring(undefined); setJob(begun); }} onClose={() => setRestoring(undefined)} />}
    </>
  );
}

/** Has backups go on by themselves after a pause, or in the place of another hub; the hub wants a fresh sign-in for either. */
function Resume({ takeOver, onDone, onClose }: { takeOver: boolean; onDone: () => void; onClose: () => void }) {
  const [typed, setTyped] = useState("");
  const { busy, error, run } = useAction();
  const submit = () => run(async () => {
    if (asksAgain()) await prove(typed);
    await operatorRpc("ResumeBackups", { takeOver });
    onDone();
  });
  return (
    <Panel open title={takeOver ? "Take over from the other hub" : "Resume backups"} submit={takeOver ? "Take over" : "Resume"} danger={takeOver} busy={busy} error={error}
      onSubmit={() => void submit()} onClose={onClose}>
      <p>{takeOver ? "The other one stops there, and is told." : "They are taken, shipped, removed and verified by themselves again."}</p>
      <Proof value={typed} onChange={setTyped} />
    </Panel>
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
  const [typed, setTyped] = useState("");
  const { busy, error, run } = useAction();
  const living = known.value?.databases?.find((one) => one.id === database || one.name === database);
  const submit = () => run(async () => {
    // The hub wants a fresh sign-in of a user, wherever the database goes.
    if (asksAgain() && (replace || !isOperator())) await prove(typed);
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
        </>
      )}
      {(replace || !isOperator()) && <Proof value={typed} onChange={setTyped} />}
    </Panel>
  );
}
