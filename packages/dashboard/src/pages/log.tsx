import { useState } from "react";
import { write } from "../act.ts";
import { get, type Database } from "../api.ts";
import { exactJson, shown } from "../exact.ts";
import { go } from "../route.ts";
import { Value } from "../ui/cells.tsx";
import { setMoment } from "../ui/as-of.tsx";
import { useAction, useLoad } from "../ui/load.ts";
import { Empty, Field, Link, Panel, Refused, Table, Time, type Column } from "../ui/parts.tsx";
import { Reading, VirtualTable } from "../ui/virtual.tsx";
import type { Pager } from "../ui/window.ts";
import { number } from "../ui/words.ts";
import { LIVE_MS } from "./databases.tsx";

type LogEvent = { seqNum: number; name: string; args: unknown; clientId: string; sessionId: string; createdAt?: string; seq?: number };
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
      {chosen && <Log key={chosen} database={database} path={path} store={chosen} role={role} />}
    </>
  );
}

function Log({ database, path, store, role }: { database: Database; path: string; store: string; role: string }) {
  /** The newest event that is shown; none: the newest there is, read again as it changes. */
  const [top, setTop] = useState<number>();
  const [part, setPart] = useState("");
  // What was known stays while another part is read: the slider would jump, and move back what was moved.
  const [head, setHead] = useState(0);
  const ask = async (after: number, limit: number, signal: AbortSignal): Promise<EventPage> => {
    const page = await get<EventPage>(`${path}?store=${encodeURIComponent(store)}&after=${after}&limit=${limit}`, signal, exactJson);
    setHead(page.head);
    return page;
  };
  /** The newest first. */
  const pager: Pager<LogEvent, number> = {
    after: async (key, signal) => {
      const end = key === undefined ? top ?? (await ask(0, 1, signal)).head : key - 1;
      const from = Math.max(0, end - PAGE);
      if (end === 0) return { rows: [], hasMore: false };
      const { events } = await ask(from, end - from, signal);
      return { rows: events.filter((one) => one.seqNum <= end).reverse(), hasMore: from > 0 };
    },
    before: async (key = 0, signal) => {
      const page = await ask(key, PAGE, signal);
      const most = Math.min(top ?? page.head, page.head);
      const rows = page.events.filter((one) => one.seqNum <= most).reverse();
      return { rows, hasMore: rows.length > 0 && rows[0]!.seqNum < most };
    },
    keyOf: (one) => one.seqNum,
  };
  const end = Math.min(top ?? head, head);
  const move = (to: number) => setTop(to >= head ? undefined : Math.max(1, to));
  const passes = (one: LogEvent) => one.name.includes(part) || one.clientId.includes(part) || shown(one.args).includes(part);
  const columns: Column<LogEvent>[] = [
    { head: "No.", number: true, cell: (one) => one.seqNum },
    { head: "Event", cell: (one) => one.name },
    { head: "Payload", cell: (one) => <Value cell={shown(one.args)} name={`event ${one.seqNum} ${one.name}`} /> },
    { head: "When", number: true, cell: (one) => <Time unix={one.createdAt ? Date.parse(one.createdAt) / 1000 : 0} /> },
    { head: "Client", cell: (one) => one.clientId },
    { head: "Session", cell: (one) => <code>{one.sessionId}</code> },
  ];
  return (
    <VirtualTable label={`Events of ${store}`} id={`${path} ${store} ${top ?? ""}`} pager={pager} columns={() => columns} everyMs={top === undefined ? LIVE_MS : 0}>
      {(list, rows) => {
        /** The commit of the newest event that is shown. */
        const commit = list.rows.find((one) => one.seqNum === end)?.seq;
        const found = part ? list.rows.filter(passes) : list.rows;
        return (
          <>
            <div className="line">
              <button type="button" disabled={top === undefined && list.isStart} onClick={() => (top === undefined ? list.begin("first") : setTop(undefined))}>Newest</button>
              <button type="button" disabled={end >= head} onClick={() => move(end + PAGE)}>Newer</button>
              <button type="button" disabled={end <= PAGE} onClick={() => move(end - PAGE)}>Older</button>
              <input type="range" aria-label="Up to event" min={Math.min(1, head)} max={head} value={end} onChange={(event) => move(Number(event.target.value))} />
              <span className="faint">up to event {number(end)} of {number(head)}</span>
              {!!commit && <Link to={["databases", database.id, "tables"]} onFollow={() => setMoment(database.id, end >= head ? "" : String(commit))}>Tables {end >= head ? "now" : `as of event ${number(end)}`}</Link>}
              {role !== "viewer" && <Append database={database} store={store} onDone={() => (top === undefined ? list.begin("first") : setTop(undefined))} />}
              <input type="search" data-filter aria-label="Filter the events that were read" placeholder="Name, client or text" value={part} onChange={(event) => setPart(event.target.value)} />
            </div>
            <Reading shown={list} />
            {list.isRead && list.rows.length === 0 && <Empty>The log is empty.</Empty>}
            {list.rows.length > 0 && found.length === 0 && <Empty>None of the {number(list.rows.length)} events that were read passes the filter.</Empty>}
            {part ? found.length > 0 && <Table label={`Events of ${store}`} rows={found} rowKey={(one) => String(one.seqNum)} columns={columns} /> : rows}
          </>
        );
      }}
    </VirtualTable>
  );
}

/** One event more, by whoever may write. */
function Append({ database, store, onDone }: { database: Database; store: string; onDone: () => void }) {
  const [open, setOpen] = useState(false);
  const [name, setName] = useState("");
  const [args, setArgs] = useState("{}");
  const { busy, error, run } = useAction();
  const isJson = parses(args);
  const append = () => run(async () => {
    const event = `{"clientId":"dashboard","sessionId":"dashboard","events":[{"name":${JSON.stringify(name)},"args":${args}}]}`;
    await write(database.id, { model: "events", ops: ["write"] }, `events?store=${encodeURIComponent(store)}`, event);
    setOpen(false);
    onDone();
  });
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>Append…</button>
      <Panel open={open} title={`Append an event to ${store}`} submit="Append it" busy={busy} error={error} disabled={!isJson} onSubmit={() => void append()} onClose={() => setOpen(false)}>
        <p>Clients get it as any other, at the end of the log; it stays there. Only the app knows which names and payloads it takes.</p>
        <Field label="Name"><input name="event" required autoFocus autoComplete="off" spellCheck={false} value={name} onChange={(event) => setName(event.target.value)} /></Field>
        <Field label="Payload" {...(!isJson && { hint: "This is no JSON yet." })}>
          <textarea className="code" name="args" rows={5} spellCheck={false} autoComplete="off" value={args} onChange={(event) => setArgs(event.target.value)} />
        </Field>
      </Panel>
    </>
  );
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
