import { useEffect, useRef, useState, useSyncExternalStore, type FormEvent } from "react";
import type { Refusal } from "../api.ts";
import { enter, forget, isOperator, listen, metrics, operatorRpc } from "../operator.ts";
import { useAction, useLoad } from "../ui/load.ts";
import { Empty, Field, Refused, Table, Time } from "../ui/parts.tsx";
import { Plot, type Point } from "../ui/plot.tsx";
import { bytes, number } from "../ui/words.ts";

type Target = { target: string; state: string; lastSnapshotUnix?: string; nextSnapshotUnix?: string; error?: string };
type Backup = {
  id: string; timeUnixMs?: string; scope?: string; databases?: string; bytes?: string; newBytes?: string; state?: string; verifiedUnix?: string; target?: string;
};
type Job = { id: string; kind: string; state: string; done?: string; total?: string; error?: string; resultJson?: string };

/** What is the hub's as a whole, for whoever has the operator's token. */
export function HubPage() {
  const isIn = useSyncExternalStore(listen, isOperator);
  return (
    <>
      <div className="head">
        <h1>Hub</h1>
        {isIn && <button type="button" onClick={forget}>Forget the token</button>}
      </div>
      {isIn ? <><Numbers /><Backups /></> : <Enter />}
    </>
  );
}

function Enter() {
  const [typed, setTyped] = useState("");
  const { busy, error, run } = useAction();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run(() => enter(typed.trim()));
  };
  return (
    <form className="narrow" onSubmit={submit}>
      <p>Backups and the hub's numbers are the operator's. The token stands in the file <code>operator.token</code> of the hub's data.</p>
      <Field label="Operator token" hint="It stays in this page for an hour, and is stored nowhere.">
        <input type="password" name="operator" required autoComplete="off" value={typed} onChange={(event) => setTyped(event.target.value)} />
      </Field>
      <Refused error={error} />
      <p className="buttons"><button type="submit" className="primary" disabled={busy}>Open</button></p>
    </form>
  );
}

const EVERY_MS = 2000;
const KEPT = 300;
const perSecond = (value: number): string => `${value < 10 ? value.toFixed(1) : number(Math.round(value))}/s`;
const PLOTS: { family: string; title: string; isRate: boolean; show: (value: number) => string }[] = [
  { family: "ferry_http_requests_total", title: "Requests", isRate: true, show: perSecond },
  { family: "ferry_commits_total", title: "Commits", isRate: true, show: perSecond },
  { family: "process_cpu_seconds_total", title: "CPU", isRate: true, show: (value) => `${(value * 100).toFixed(0)} %` },
  { family: "process_resident_memory_bytes", title: "Memory", isRate: false, show: bytes },
  { family: "ferry_open_connections", title: "Connections", isRate: false, show: number },
  { family: "ferry_databases_open", title: "Open databases", isRate: false, show: number },
];

function Numbers() {
  const [series, setSeries] = useState<Map<string, Point[]>>(new Map());
  const [now, setNow] = useState<Map<string, number>>();
  const [error, setError] = useState<Refusal>();
  const before = useRef<{ at: number; values: Map<string, number> }>(undefined);
  useEffect(() => {
    const stop = new AbortController();
    const read = async () => {
      if (document.visibilityState !== "visible") return;
      try {
        const values = await metrics(stop.signal);
        const at = performance.now() / 1000;
        const last = before.current;
        before.current = { at, values };
        setNow(values);
        setError(undefined);
        setSeries((old) => new Map(PLOTS.map(({ family, isRate }) => {
          const points = old.get(family) ?? [];
          const value = values.get(family) ?? 0;
          if (!isRate) return [family, [...points, { at, value }].slice(-KEPT)];
          // Its first value has nothing to be compared with; after a start of the hub it counts anew.
          if (!last || value < (last.values.get(family) ?? 0)) return [family, points];
          return [family, [...points, { at, value: (value - (last.values.get(family) ?? 0)) / (at - last.at) }].slice(-KEPT)];
        })));
      } catch (refusal) {
        if (!stop.signal.aborted) setError(refusal as Refusal);
      }
    };
    void read();
    const timer = setInterval(() => void read(), EVERY_MS);
    return () => {
      clearInterval(timer);
      stop.abort();
    };
  }, []);
  const free = now?.get("ferry_disk_free_bytes");
  return (
    <>
      <h2>Since this page is open</h2>
      <Refused error={error} />
      <div className="plots">{PLOTS.map(({ family, title, show }) => <Plot key={family} title={title} points={series.get(family) ?? []} show={show} />)}</div>
      {now && <dl className="facts">
        <div><dt>Databases</dt><dd>{number(now.get("ferry_databases"))}</dd></div>
        {free !== undefined && <div><dt>Disk free</dt><dd>{bytes(free)}</dd></div>}
        <div><dt>Running since</dt><dd><Time unix={now.get("process_start_time_seconds")} /></dd></div>
      </dl>}
    </>
  );
}

function Backups() {
  const status = useLoad("status", (signal) => operatorRpc<{ targets?: Target[] }>("GetBackupStatus", {}, signal), 5000);
  const list = useLoad("list", (signal) => operatorRpc<{ backups?: Backup[] }>("ListBackups", {}, signal), 15_000);
  const [job, setJob] = useState<Job>();
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
      {job && <p role="status">{job.kind}: <b className={job.state === "failed" ? "bad" : ""}>{job.state}</b>{Number(job.total) > 0 && `, ${number(job.done)} of ${number(job.total)} databases`}{job.error && <span className="bad">: {job.error}</span>}</p>}
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
        ]} />
      )}
      {backups.length > 0 && <p className="faint">How one is put back: <code>ferry backup restore --help</code></p>}
    </>
  );
}
