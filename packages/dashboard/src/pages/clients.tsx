import { useState } from "react";
import { rpc, type Database, type Member } from "../api.ts";
import { useAction, useLoad } from "../ui/load.ts";
import { Confirm, Empty, Refused, Table, Time } from "../ui/parts.tsx";
import { bytes, number, span } from "../ui/words.ts";

type Connection = {
  id: string; model: string; transport: string; principal: string; client?: string; ip?: string; sinceUnix?: string; lastUnix?: string;
  cursor?: string; behind?: string; bytesIn?: string; bytesOut?: string; state: string; unit?: string; scope?: string;
};
type Stuck = {
  model: string; client: string; scope?: string; first?: string; code: string; message?: string; advice?: string; tries?: string; lastUnix?: string;
};
type Page = { connections?: Connection[]; total?: number; stuck?: Stuck[]; nextPageToken?: string };

/** Rows of a page. */
const PAGE = 200;
/** How fresh what is shown is; of many pages less. */
const EVERY_MS = 2000;
const EVERY_OF_MANY_MS = 15_000;

const NANOSECONDS = 1e9;

function Behind({ one }: { one: Connection }) {
  const behind = Number(one.behind ?? 0);
  if (!one.unit) return <span className="faint">—</span>;
  if (behind === 0) return <>0</>;
  return <span className="bad">{one.unit === "nanoseconds" ? span(behind / NANOSECONDS) : `${number(behind)} ${one.unit}`}</span>;
}

function Cursor({ one }: { one: Connection }) {
  if (!one.unit) return <span className="faint">—</span>;
  return one.unit === "nanoseconds" ? <Time unix={Number(one.cursor ?? 0) / NANOSECONDS} /> : <>{number(one.cursor)}</>;
}

/** Who is connected to a database, who is behind, and who does not get on. */
export function ClientsTab({ database, role }: { database: Database; role: string }) {
  const [pages, setPages] = useState(1);
  const [filter, setFilter] = useState("");
  const { error, run } = useAction();
  const list = useLoad(database.id, async (signal) => {
    const connections: Connection[] = [];
    let [pageToken, total, stuck] = ["", 0, [] as Stuck[]];
    for (let page = 0; page < pages; page += 1) {
      const answer = await rpc<Page>("ListConnections", { database: database.id, pageSize: PAGE, pageToken }, signal);
      connections.push(...(answer.connections ?? []));
      total = answer.total ?? 0;
      if (page === 0) stuck = answer.stuck ?? [];
      pageToken = answer.nextPageToken ?? "";
      if (!pageToken) break;
    }
    return { connections, total, stuck, hasMore: pageToken !== "" };
  }, pages > 1 ? EVERY_OF_MANY_MS : EVERY_MS);
  const admin = role === "admin";
  // Principals of members are told by their e-mail; others by what they are.
  const people = useLoad(`${database.orgId} ${role}`, async (signal) => {
    if (!admin) return new Map<string, string>();
    const answer = await rpc<{ members?: Member[] }>("ListMembers", { org: database.orgId, pageSize: 1000 }, signal);
    return new Map(answer.members?.map(({ userId, email }) => [userId, email]));
  });
  const who = (principal: string): string => people.value?.get(principal) ?? principal;
  const close = (id: string) => run(async () => {
    await rpc("CloseConnection", { id });
    list.again();
  });
  const found = list.value;
  const wanted = filter.toLowerCase();
  const shown = found?.connections.filter((one) =>
    [one.client, one.principal, who(one.principal), one.model, one.transport, one.ip, one.scope, one.state].some((text) => text?.toLowerCase().includes(wanted)));
  return (
    <>
      <Refused error={error ?? list.error} again={list.again} />
      {admin && found && (
        <>
          <h2>Stuck</h2>
          {found.stuck.length === 0 ? <p className="faint">Nobody’s writes are refused since the hub was started.</p> : (
            <Table label="Stuck clients" rows={found.stuck} rowKey={(one) => `${one.model} ${one.scope} ${one.client}`} columns={[
              { head: "Client", cell: (one) => <span className="clip" title={one.client}>{one.client}</span> },
              { head: "Writes", cell: (one) => <>{one.model}{one.scope && <span className="faint"> in {one.scope}</span>}</> },
              { head: "First of its batch", cell: (one) => one.first ? <code className="clip" title={one.first}>{one.first}</code> : <span className="faint">unread</span> },
              { head: "Why", cell: (one) => <span className="side wide"><b className="bad">{one.code}</b>{one.message}<span className="faint">{one.advice}</span></span> },
              { head: "Tries", number: true, cell: (one) => number(one.tries) },
              { head: "Last", number: true, cell: (one) => <Time unix={one.lastUnix} /> },
            ]} />
          )}
        </>
      )}
      <div className="head">
        <h2>{admin ? "Connected" : "Your connections"} {found && <span className="faint">{number(found.total)}</span>}</h2>
        <input type="search" data-filter aria-label="Filter" placeholder="Filter" value={filter} onChange={(event) => setFilter(event.target.value)} />
      </div>
      {!found && !list.error && <p className="faint" aria-busy="true">Asking the hub…</p>}
      {found?.total === 0 && <Empty command={`ferry follow ${database.name} data.sqlite`}>Nobody is connected now. An app that is open, or this, is:</Empty>}
      {found && found.total > 0 && shown?.length === 0 && <p className="faint">None of those shown is like this.</p>}
      {!!shown?.length && (
        <Table label="Connections" rows={shown} rowKey={(one) => one.id} columns={[
          { head: "Client", cell: (one) => one.client ? <span className="clip" title={one.client}>{one.client}</span> : <span className="faint">unnamed</span> },
          { head: "Model", cell: (one) => <>{one.model} <span className="faint">{one.transport}{one.scope && ` · ${one.scope}`}</span></> },
          { head: "Who", cell: (one) => <span className="clip" title={one.principal}>{who(one.principal)}</span> },
          { head: "Address", cell: (one) => one.ip },
          { head: "Since", number: true, cell: (one) => <Time unix={one.sinceUnix} /> },
          { head: "Moved", number: true, cell: (one) => <Time unix={one.lastUnix} /> },
          { head: "At", number: true, cell: (one) => <Cursor one={one} /> },
          { head: "Behind", number: true, cell: (one) => <Behind one={one} /> },
          { head: "In", number: true, cell: (one) => bytes(one.bytesIn) },
          { head: "Out", number: true, cell: (one) => bytes(one.bytesOut) },
          { head: "State", cell: (one) => <span className={one.state === "stalled" ? "bad" : ""}>{one.state}</span> },
          ...(admin ? [{ head: "", cell: (one: Connection) => <Confirm label="Close" ask="It may come again." onYes={() => void close(one.id)} /> }] : []),
        ]} />
      )}
      {found?.hasMore && <p className="line"><button type="button" onClick={() => { setPages(pages + 1); list.again(); }}>More</button><span className="faint">{number(found.connections.length)} are shown.</span></p>}
    </>
  );
}
