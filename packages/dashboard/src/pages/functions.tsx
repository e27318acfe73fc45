import { useState } from "react";
import { get, type Database } from "../api.ts";
import { shown } from "../exact.ts";
import { Value } from "../ui/cells.tsx";
import { useLoad } from "../ui/load.ts";
import { Empty, Refused, Table, Time } from "../ui/parts.tsx";
import { number } from "../ui/words.ts";
import { LIVE_MS } from "./databases.tsx";

type Declared = { name: string; kind: string; internal?: boolean };
type Deployment = { id: string; createdAt: string; seq: number; active: boolean };
type Info = {
  deployment: string | null; seq: number; manifest: { functions?: Declared[] } | null; deployments: Deployment[];
  migrations: unknown[]; auth: string; secrets: string[];
};
type Line = { n: number; time: string; level: string; function?: string; requestId?: string; text: string; stack?: string };

/** The events of a stream that has ended. */
export function linesOf(stream: string): Line[] {
  return stream.split("\n\n").flatMap((block) => {
    const fields = block.split("\n").map((line) => /^(\w+): ?(.*)$/.exec(line));
    const data = fields.filter((field) => field?.[1] === "data").map((field) => field![2]).join("\n");
    const line = data ? (JSON.parse(data) as Partial<Line>) : {};
    // Others tell that lines were lost, or that the stream ends.
    return line.time === undefined ? [] : [line as Line];
  });
}

export function FunctionsTab({ database }: { database: Database }) {
  const path = `/v1/databases/${database.id}/functions`;
  const info = useLoad(path, (signal) => get<Info>(`${path}/info`, signal), LIVE_MS);
  const logs = useLoad(path, (signal) => get<Line[]>(`${path}/logs?since=0`, signal, linesOf), LIVE_MS);
  const [part, setPart] = useState("");
  const found = info.value;
  const functions = found?.manifest?.functions ?? [];
  const lines = (logs.value ?? []).filter((line) => !part || shown(line).includes(part)).slice(-200).reverse();
  return (
    <>
      <Refused error={info.error} again={info.again} />
      {!found && !info.error && <p className="faint" aria-busy="true">Reading…</p>}
      {found && !found.deployment && <Empty command={`ferry deploy --database ${database.name}`}>Nothing is deployed. In the folder of a project:</Empty>}
      {found?.deployment && (
        <>
          <dl className="facts">
            <div><dt>Deployed</dt><dd><code>{found.deployment}</code></dd></div>
            <div><dt>Sign-in of callers</dt><dd>{found.auth}</dd></div>
            <div><dt>Secrets</dt><dd>{found.secrets.length ? found.secrets.join(", ") : <span className="faint">none</span>}</dd></div>
            <div><dt>Migrations</dt><dd>{found.migrations.length}</dd></div>
          </dl>
          <h2>Functions</h2>
          <Table label="Functions" rows={functions} rowKey={(one) => one.name} columns={[
            { head: "Name", cell: (one) => <code>{one.name}</code> },
            { head: "Kind", cell: (one) => one.kind },
            { head: "Called by", cell: (one) => (one.internal ? "other functions alone" : "clients") },
          ]} />
          <h2>Deployments</h2>
          <Table label="Deployments" rows={found.deployments} rowKey={(one) => one.id} columns={[
            { head: "Deployment", cell: (one) => <code>{one.id}</code> },
            { head: "When", number: true, cell: (one) => <Time unix={Date.parse(one.createdAt) / 1000} /> },
            { head: "Commit", number: true, cell: (one) => number(one.seq) },
            { head: "State", cell: (one) => (one.active ? "runs" : "kept") },
          ]} />
        </>
      )}
      {found && (
        <>
          <div className="head">
            <h2>Log</h2>
            <input type="search" data-filter aria-label="Filter the log" placeholder="Function, request or text" value={part} onChange={(event) => setPart(event.target.value)} />
          </div>
          <Refused error={logs.error} again={logs.again} />
          {logs.value && lines.length === 0 && <Empty command={`ferry logs ${database.name}`}>{part ? "No line passes the filter." : "No function has written to the console since the hub started. As it happens:"}</Empty>}
          {lines.length > 0 && (
            <Table label="Log" rows={lines} rowKey={(line) => String(line.n)} columns={[
              { head: "When", cell: (line) => <Time unix={Date.parse(line.time) / 1000} /> },
              { head: "Level", cell: (line) => <span className={line.level === "error" ? "bad" : ""}>{line.level}</span> },
              { head: "Function", cell: (line) => line.function },
              { head: "Text", cell: (line) => <Value cell={line.stack ? `${line.text}\n${line.stack}` : line.text} name={`line ${line.n}`} /> },
              { head: "Request", cell: (line) => <code className="clip" title={line.requestId}>{line.requestId}</code> },
            ]} />
          )}
        </>
      )}
    </>
  );
}
