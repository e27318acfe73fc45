import { useEffect, useMemo, useRef, useState, useSyncExternalStore, type FormEvent } from "react";
import type { Refusal } from "../api.ts";
import { enter, forget, isOperator, listen, metrics, operatorRpc } from "../operator.ts";
import { useAction, useLoad } from "../ui/load.ts";
import { Copy, Field, Link, Refused, Time } from "../ui/parts.tsx";
import { Plot, type Point } from "../ui/plot.tsx";
import { bytes, exact, number, relative } from "../ui/words.ts";
import { AuditPage } from "./audit.tsx";
import { Backups } from "./backups.tsx";
import { Doctor } from "./doctor.tsx";
import { Lineage } from "./lineage.tsx";
import { Settings } from "./settings.tsx";
import { Users } from "./users.tsx";

/** What is the hub's as a whole: for users who operate it, and for whoever has the operator's token. */
const TABS = [{ path: "", name: "Numbers" }, { path: "backups", name: "Backups" }, { path: "lineage", name: "Lineage" }, { path: "users", name: "Users" }, { path: "audit", name: "Audit" }, { path: "doctor", name: "Checks" }, { path: "settings", name: "Settings" }];

export function HubPage({ tab, org, operates }: { tab: string; org: string; operates: boolean }) {
  const hasToken = useSyncExternalStore(listen, isOperator);
  const isIn = hasToken || operates;
  return (
    <>
      <div className="head">
        <h1>Hub</h1>
        {hasToken && <button type="button" onClick={forget}>Forget the token</button>}
      </div>
      {isIn ? (
        <>
          <nav className="tabs" aria-label="Parts of the hub">
            {TABS.map((one) => <Link key={one.path} to={one.path ? ["hub", one.path] : ["hub"]} current={one.path === tab}>{one.name}</Link>)}
          </nav>
          {tab === "" && <Numbers />}
          {tab === "backups" && <Backups org={org} />}
          {tab === "lineage" && <Lineage />}
          {tab === "users" && <Users />}
          {tab === "audit" && <AuditPage org="" role="admin" hub />}
          {tab === "doctor" && <Doctor />}
          {tab === "settings" && <Settings />}
        </>
      ) : <Enter />}
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
      <p>Backups and the hub's numbers are the operator's. The token stands in the file <code>operator.token</code> of the hub's data. Whoever has it makes a user an operator, who needs it no more:</p>
      <p className="command"><code>{MAKE_OPERATOR}</code> <Copy text={MAKE_OPERATOR} /></p>
      <Field label="Operator token" hint="It stays in this page for an hour, and is stored nowhere.">
        <input type="password" name="operator" required autoComplete="off" value={typed} onChange={(event) => setTyped(event.target.value)} />
      </Field>
      <Refused error={error} />
      <p className="buttons"><button type="submit" className="primary" disabled={busy}>Open</button></p>
    </form>
  );
}

const MAKE_OPERATOR = "ferry admin user operator you@example.com --on";

const EVERY_MS = 2000;
const perSecond = (value: number): string => `${value < 10 ? value.toFixed(1) : number(Math.round(value))}/s`;
const PLOTS: { family: string; title: string; show: (value: number) => string }[] = [
  { family: "ferry_http_requests_total", title: "Requests", show: perSecond },
  { family: "ferry_commits_total", title: "Commits", show: perSecond },
  { family: "process_cpu_seconds_total", title: "CPU", show: (value) => `${(value * 100).toFixed(0)} %` },
  { family: "process_resident_memory_bytes", title: "Memory", show: bytes },
  { family: "ferry_open_connections", title: "Connections", show: number },
  { family: "ferry_databases_open", title: "Open databases", show: number },
  { family: "ferry_events_appended_total", title: "Events appended", show: perSecond },
  { family: "ferry_records_changes_total", title: "Records pushed", show: perSecond },
  { family: "ferry_ops_results_total", title: "Ops pushed", show: perSecond },
  { family: "ferry_functions_calls_total", title: "Calls of functions", show: perSecond },
  { family: "ferry_disk_free_bytes", title: "Disk free", show: bytes },
  { family: "process_open_fds", title: "Open files", show: number },
];
/** How far back the plots go, seconds. The hub keeps steps of 10 s for 6 h, and of 5 min for a week. */
const RANGES = [[900, "15 minutes"], [3600, "hour"], [6 * 3600, "6 hours"], [7 * 86_400, "week"]] as const;
const SHORT_STEPS_SECONDS = 6 * 3600;

/** What the hub keeps, and what was read since. */
function Numbers() {
  const [range, setRange] = useState(3600);
  const past = useLoad(`series ${range}`, async (signal) => {
    const sinceUnix = Math.floor(Date.now() / 1000) - range;
    const answer = await operatorRpc<{ series?: Kept[] }>("GetSeries", { names: PLOTS.map(({ family }) => family), sinceUnix }, signal);
    const step = range > SHORT_STEPS_SECONDS ? 300 : 10;
    return new Map((answer.series ?? []).filter((one) => one.stepSeconds === step).map((one) => [one.name, samples(one)]));
  }, range > SHORT_STEPS_SECONDS ? 300_000 : 60_000);
  const [live, setLive] = useState<{ at: number; values: Map<string, number> }[]>([]);
  const [error, setError] = useState<Refusal>();
  useEffect(() => {
    const stop = new AbortController();
    const read = async () => {
      if (document.visibilityState !== "visible") return;
      try {
        const values = await metrics(stop.signal);
        setLive((old) => [...old, { at: Date.now() / 1000, values }].slice(-LIVE_KEPT));
        setError(undefined);
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
  const now = live.at(-1);
  /** At which moment all plots are looked at; none: now. */
  const [moment, setMoment] = useState<number>();
  const to = now?.at ?? Date.now() / 1000;
  const step = range > SHORT_STEPS_SECONDS ? 300 : 10;
  const plots = useMemo(() => PLOTS.map(({ family }) => {
    const kept = past.value?.get(family) ?? [];
    const from = Math.max(kept.at(-1)?.at ?? 0, to - range);
    const all = [...kept, ...live.filter(({ at }) => at > from).map(({ at, values }) => ({ at, value: values.get(family) ?? 0 }))];
    return family.endsWith("_total") ? rates(all) : all;
  }), [past.value, live, range, to]);
  // Of a hub that was started later the whole width is what it knows.
  const from = Math.max(to - range, Math.min(to - 60, ...plots.map((points) => points[0]?.at ?? to)));
  /** Whether the pointer chose it, which takes it along. */
  const isPointed = useRef(false);
  const look = (at: number, byPointer = false) => {
    isPointed.current = byPointer;
    setMoment(at >= to - step / 2 ? undefined : Math.round(Math.max(at, from)));
  };
  const told = moment === undefined ? "now" : `${exact(moment)}, ${relative(moment)}`;
  return (
    <>
      <div className="head">
        <h2>The last {RANGES.find(([seconds]) => seconds === range)?.[1]}</h2>
        <select aria-label="How far back" value={range} onChange={(event) => setRange(Number(event.target.value))}>
          {RANGES.map(([seconds, name]) => <option key={seconds} value={seconds}>{name}</option>)}
        </select>
      </div>
      <Refused error={error ?? past.error} again={past.again} />
      <div className="line">
        <input type="range" aria-label="Moment" aria-valuetext={told} min={Math.floor(from)} max={Math.floor(to)} step={step} value={Math.floor(moment ?? to)} onChange={(event) => look(Number(event.target.value))} />
        <span className="faint">{told}</span>
        <button type="button" disabled={moment === undefined} onClick={() => setMoment(undefined)}>Now</button>
      </div>
      <div className="plots" onPointerLeave={() => isPointed.current && setMoment(undefined)}>
        {PLOTS.map(({ family, title, show }, place) => <Plot key={family} title={title} points={plots[place]!} show={show} from={from} to={to} gap={step * 3} moment={moment} onMoment={(at) => look(at, true)} />)}
      </div>
      {now && <dl className="facts">
        <div><dt>Databases</dt><dd>{number(now.values.get("ferry_databases"))}</dd></div>
        <div><dt>Running since</dt><dd><Time unix={now.values.get("process_start_time_seconds")} /></dd></div>
      </dl>}
    </>
  );
}

/** As much of what was read since as plots need, until the hub tells it again. */
const LIVE_KEPT = 200;

type Kept = { name: string; stepSeconds: number; startUnix?: string; values?: (number | "NaN")[] };

/** The values of a series that are known. */
function samples({ startUnix, stepSeconds, values }: Kept): Point[] {
  return (values ?? []).flatMap((value, step) => (typeof value === "number" ? [{ at: Number(startUnix ?? 0) + step * stepSeconds, value }] : []));
}

/** How fast a counter grew between each two of its values; where the hub was started anew, nothing is known. */
export function rates(points: Point[]): Point[] {
  return points.slice(1).flatMap(({ at, value }, place) => {
    const before = points[place]!;
    return value >= before.value && at > before.at ? [{ at, value: (value - before.value) / (at - before.at) }] : [];
  });
}
