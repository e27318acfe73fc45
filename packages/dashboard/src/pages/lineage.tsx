import { operatorRpc } from "../operator.ts";
import { More, useList } from "../ui/list.tsx";
import { Empty, Link, Refused, Table, Time } from "../ui/parts.tsx";
import { exact, number } from "../ui/words.ts";

type Run = { hubId: string; run: string; beganUnixMs?: string; verdict: string; sign?: string; health?: string };
type Step = {
  kind: "break" | "moved"; atUnixMs: string; scope: string; databaseName?: string; reason?: string; number?: string; knownSeq?: string; leftSeq?: string;
  lostSinceUnixMs?: string;
};

const EVERY_MS = 15_000;

/** What a start found, for people. */
const VERDICTS: Record<string, string> = {
  first: "the first start here",
  same: "it goes on from where it was",
  moved: "this hub in another place, as was said",
  restored: "an older state than clients have seen",
};
const HEALTH: Record<string, string> = {
  restored: "Since this start clients are told that data was put back: they send again what they hold, and event stores wait on the pages of their databases.",
  unserved: "A database is not served: its file does not belong to its WAL. The hub’s log names it, and Checks tells what to do.",
};

const seconds = (ms: string | undefined): number => Number(ms ?? 0) / 1000;

/** Where the hub’s data comes from, and what clients had seen more of. */
export function Lineage() {
  const steps = useList<Step, Run>("lineage", "GetLineage", "steps", {}, EVERY_MS, operatorRpc);
  const run = steps.answer;
  return (
    <>
      <h2>This run</h2>
      <Refused error={steps.error} again={steps.again} />
      {run && (
        <>
          {run.health && <p role="status" className="bad">{HEALTH[run.health] ?? run.health}</p>}
          <dl className="facts">
            <div><dt>Began</dt><dd><Time unix={seconds(run.beganUnixMs)} /></dd></div>
            <div><dt>Its start found</dt><dd className={run.verdict === "restored" ? "bad" : ""}>{VERDICTS[run.verdict] ?? run.verdict}{run.sign && `: ${run.sign}`}</dd></div>
            <div><dt>Run</dt><dd><code>{run.run}</code></dd></div>
            <div><dt>Hub</dt><dd><code>{run.hubId}</code></dd></div>
          </dl>
        </>
      )}
      <h2>Breaks and moves</h2>
      {steps.value?.length === 0 && <Empty command="ferry admin lineage show --data-dir DIR">None: all that clients have ever seen went on from here. The same on the hub’s machine, also where no hub runs:</Empty>}
      {!!steps.value?.length && (
        <Table label="Breaks and moves" rows={steps.value} rowKey={(one) => `${one.atUnixMs} ${one.number ?? ""}`} columns={[
          { head: "Found", number: true, cell: (one) => <Time unix={seconds(one.atUnixMs)} /> },
          { head: "What", cell: (one) => <span className={one.kind === "break" ? "bad" : ""}>{one.kind}</span> },
          { head: "Of", cell: (one) => <Scope step={one} /> },
          { head: "What showed it", cell: (one) => <span className="side wide">{one.kind === "moved" ? "the operator said that it is this hub in another place" : one.reason}</span> },
          { head: "What may be lost", cell: (one) => <Lost step={one} /> },
          { head: "No.", number: true, cell: (one) => one.number && <code>{one.number}</code> },
        ]} />
      )}
      <More list={steps} />
    </>
  );
}

function Scope({ step }: { step: Step }) {
  if (step.scope === "hub") return <>{step.kind === "moved" ? "the hub" : "all databases"}</>;
  return step.databaseName ? <Link to={["databases", step.scope]}>{step.databaseName}</Link> : <code>{step.scope}</code>;
}

/** What was written between the newest that is left and the newest that was known of. */
function Lost({ step }: { step: Step }) {
  if (step.kind === "moved") return <span className="faint">nothing</span>;
  if (step.scope !== "hub") {
    const [left, known] = [Number(step.leftSeq ?? 0), Number(step.knownSeq ?? 0)];
    // A file of an older run, or of one that nobody knows, has other commits, and may have as many.
    if (known <= left) return <>which commits is not known</>;
    return <>commits {left > 0 && `from ${number(left + 1)} `}to {number(known)}</>;
  }
  if (!step.lostSinceUnixMs) return <>since when is not known</>;
  const since = seconds(step.lostSinceUnixMs);
  return <span title={`${exact(Math.floor(since))} to ${exact(Math.floor(seconds(step.atUnixMs)))}`}>written from <Time unix={since} /> on, until it was found</span>;
}
