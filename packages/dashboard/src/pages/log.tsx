import { useState } from "react";
import { get, type Database } from "../api.ts";
import { exactJson, shown } from "../exact.ts";
import { go } from "../route.ts";
import { Value } from "../ui/cells.tsx";
import { useLoad } from "../ui/load.ts";
import { Empty, Link, Refused, Table, Time } from "../ui/parts.tsx";
import { number } from "../ui/words.ts";
import { LIVE_MS } from "./databases.tsx";

type LogEvent = { seqNum: number; name: string; args: unknown; clientId: string; sessionId: string; createdAt?: string };
type EventPage = { head: number; events: LogEvent[] };

const PAGE = 100;

/** The log of a store, the newest first. */
export function LogTab({ database, store, role }: { database: Database; store: string; role: string }) {
  const path = `/v1/databases/${database.id}/events`;
  const stores = useLoad(`${path} ${role}`, async (signal) =>
    role === "admin" ? (await get<{ stores: { storeId: string }[] }>(`${path}/stores`, signal)).stores : []);
  const [typed, setTyped] = useState("");
  const chosen = store || stores.value?.[0]?.storeId || "";
  const choose = (name: string) => name && go("databases", database.id, "log", name);
  return (
    <>
      <form className="line" onSubmit={(event) => { event.preventDefault(); choose(typed); }}>
        {!!stores.value?.length && (
          <select aria-label="Store" value={chosen} onChange={(event) => choose(event.target.value)}>
            {store && !stores.value.some((one) => one.storeId === store) && <option>{store}</option>}
            {stores.value.map((one) => <option key={one.storeId}>{one.storeId}</option>)}
          </select>
        )}
        {role !== "admin" && <><input aria-label="Name of the store" placeholder="Name of the store" value={typed} onChange={(event) => setTyped(event.target.value)} /><button type="submit">Open</button></>}
        {role === "admin" && <Link to={["databases", database.id, "events"]}>State of stores and clients</Link>}
      </form>
      <Refused error={stores.error} again={stores.again} />
      {stores.value && !chosen && <Empty command={`ferry events append ${database.name} noteAdded '{"text":"hello"}' --store my-store`}>{role === "admin" ? "No store yet: the first push makes one. From here:" : "Name a store above. Whoever may write makes one by a first event:"}</Empty>}
      {chosen && <Log key={chosen} path={path} store={chosen} />}
    </>
  );
}

function Log({ path, store }: { path: string; store: string }) {
  /** The newest event that is shown; none: the newest there is, read again as it changes. */
  const [top, setTop] = useState<number>();
  const [part, setPart] = useState("");
  const page = useLoad(`${path} ${store} ${top ?? ""}`, async (signal) => {
    const ask = (after: number, limit: number) =>
      get<EventPage>(`${path}?store=${encodeURIComponent(store)}&after=${after}&limit=${limit}`, signal, exactJson);
    let end = top;
    if (end === undefined) end = (await ask(0, 1)).head;
    return ask(Math.max(0, end - PAGE), PAGE);
  }, top === undefined ? LIVE_MS : 0);
  const head = page.value?.head ?? 0;
  const end = Math.min(top ?? head, head);
  const events = (page.value?.events ?? []).filter((one) => one.seqNum <= end).reverse();
  const rows = part ? events.filter((one) => one.name.includes(part) || one.clientId.includes(part) || shown(one.args).includes(part)) : events;
  const move = (to: number) => setTop(to >= head ? undefined : Math.max(1, to));
  return (
    <>
      <div className="line">
        <button type="button" disabled={end >= head} onClick={() => setTop(undefined)}>Newest</button>
        <button type="button" disabled={end >= head} onClick={() => move(end + PAGE)}>Newer</button>
        <button type="button" disabled={end <= PAGE} onClick={() => move(end - PAGE)}>Older</button>
        <input type="range" aria-label="Up to event" min={Math.min(1, head)} max={head} value={end} onChange={(event) => move(Number(event.target.value))} />
        <span className="faint">up to event {number(end)} of {number(head)}</span>
        <input type="search" data-filter aria-label="Filter the events shown" placeholder="Name, client or text" value={part} onChange={(event) => setPart(event.target.value)} />
      </div>
      <Refused error={page.error} again={page.again} />
      {!page.value && !page.error && <p className="faint" aria-busy="true">Reading…</p>}
      {page.value && rows.length === 0 && <Empty>{events.length ? "No event shown passes the filter." : "The log is empty."}</Empty>}
      {rows.length > 0 && (
        <Table label={`Events of ${store}`} rows={rows} rowKey={(one) => String(one.seqNum)} columns={[
          { head: "No.", number: true, cell: (one) => one.seqNum },
          { head: "Event", cell: (one) => one.name },
          { head: "Payload", cell: (one) => <Value cell={shown(one.args)} name={`event ${one.seqNum} ${one.name}`} /> },
          { head: "When", number: true, cell: (one) => <Time unix={one.createdAt ? Date.parse(one.createdAt) / 1000 : 0} /> },
          { head: "Client", cell: (one) => one.clientId },
          { head: "Session", cell: (one) => <code>{one.sessionId}</code> },
        ]} />
      )}
    </>
  );
}
