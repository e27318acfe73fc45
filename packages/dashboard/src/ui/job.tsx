/** Work of the hub that goes on by itself, watched to its end. */

import { useEffect, useState } from "react";
import { Link } from "./parts.tsx";
import { number } from "./words.ts";

export type Job = { id: string; kind: string; state: string; done?: string; total?: string; error?: string; resultJson?: string };
type Ask = (method: string, message: object) => Promise<Job>;

/** The job, asked for by `ask` until it ends, which `onEnd` hears. */
export function useJob(ask: Ask, onEnd: () => void): [Job | undefined, (job: Job) => void] {
  const [job, setJob] = useState<Job>();
  useEffect(() => {
    if (job?.state !== "running") return;
    const timer = setInterval(() => void ask("GetJob", { id: job.id }).then((next) => {
      setJob(next);
      if (next.state !== "running") onEnd();
    }, () => undefined), 500);
    return () => clearInterval(timer);
    // What asks and hears is the page's, which is made anew each time.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [job?.id, job?.state]);
  return [job, setJob];
}

/** What a job put back. */
function restored({ state, resultJson }: Job): { id: string; name: string }[] {
  if (state !== "done" || !resultJson) return [];
  return (JSON.parse(resultJson) as { restored?: { id: string; name: string }[] }).restored ?? [];
}

export function JobState({ job }: { job: Job | undefined }) {
  if (!job) return null;
  return (
    <p role="status">
      {job.kind}: <b className={job.state === "failed" ? "bad" : ""}>{job.state}</b>
      {Number(job.total) > 0 && `, ${number(job.done)} of ${number(job.total)} databases`}
      {job.error && <span className="bad">: {job.error}</span>}
      {restored(job).map(({ id, name }) => <span key={id}>: <Link to={["databases", id]}>{name}</Link></span>)}
    </p>
  );
}
