import { useMemo, useState } from "react";
import { type AuditEvent } from "../api.ts";
import { operatorRpc } from "../operator.ts";
import { More, useList } from "../ui/list.tsx";
import { Empty, Refused, Table, Time } from "../ui/parts.tsx";

const SPANS: [number, string][] = [[3600, "last hour"], [86_400, "last day"], [604_800, "last week"], [0, "all that is kept"]];

/** What happened in an organisation; or, for the operator, what belongs to none. */
export function AuditPage({ org, role, hub = false }: { org: string; role: string; hub?: boolean }) {
  const [action, setAction] = useState("");
  const [text, setText] = useState("");
  const [seconds, setSeconds] = useState(86_400);
  // A page's token fits its own question alone: the beginning stands still while it is read on.
  const sinceUnix = useMemo(() => (seconds ? String(Math.floor(Date.now() / 1000) - seconds) : "0"), [seconds]);
  const events = useList<AuditEvent>(`${org} ${action} ${seconds} ${sinceUnix}`, "ListAuditEvents", "events", { org, action, sinceUnix, hub }, 5000, hub ? operatorRpc : undefined);
  if (role !== "admin") return <><h1>Audit</h1><Empty>Admins of the organisation see who did what. You are {role} here.</Empty></>;
  const rows = (events.value ?? []).filter((one) => [one.actor, one.target, one.ip, one.outcome].some((part) => part?.includes(text)));
  return (
    <>
      <div className="head">
        {hub ? <h2>What belongs to no organisation</h2> : <h1>Audit</h1>}
        <input type="search" data-filter aria-label="Filter by actor, target or address" placeholder="Actor, target, address" value={text} onChange={(event) => setText(event.target.value)} />
        <input aria-label="Action" placeholder="Action, such as database" value={action} onChange={(event) => setAction(event.target.value.trim())} />
        <select aria-label="Time" value={seconds} onChange={(event) => setSeconds(Number(event.target.value))}>{SPANS.map(([value, name]) => <option key={value} value={value}>{name}</option>)}</select>
      </div>
      <Refused error={events.error} again={events.again} />
      {events.value && rows.length === 0 && <Empty command={hub ? "ferry admin audit" : "ferry audit"}>Nothing of this kind happened. All of it:</Empty>}
      {rows.length > 0 && (
        <Table label="Audit events" rows={rows} rowKey={(one) => one.id} columns={[
          { head: "When", cell: (one) => <Time unix={one.atUnix} /> },
          { head: "Action", cell: (one) => one.action },
          { head: "Outcome", cell: (one) => <span className={one.outcome === "ok" ? "" : "bad"}>{one.outcome}</span> },
          { head: "Actor", cell: (one) => <code>{one.actor || "nobody known"}</code> },
          { head: "Target", cell: (one) => <code>{one.target}</code> },
          { head: "Address", cell: (one) => one.ip },
          { head: "Detail", cell: (one) => <code className="clip" title={one.detailJson}>{one.detailJson === "{}" ? "" : one.detailJson}</code> },
          { head: "Request", cell: (one) => <code className="clip" title={one.requestId}>{one.requestId}</code> },
        ]} />
      )}
      <More list={events} />
    </>
  );
}
