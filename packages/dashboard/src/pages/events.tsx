import { useState } from "react";
import { get, post, type Database } from "../api.ts";
import { signInAgain } from "../operator.ts";
import { useAction, useLoad } from "../ui/load.ts";
import { Empty, Field, Panel, Refused, Table, Time } from "../ui/parts.tsx";
import { bytes, number } from "../ui/words.ts";
import { LIVE_MS } from "./databases.tsx";

type Store = {
  storeId: string; head: number; count?: number; bytes?: number; state: string; holdReason?: string | null; subscribers?: number;
  lagging?: number; lastPushAt?: string | null; suspect?: { devices: Device[] } | null;
};
/** A device that holds acknowledged events which the store has lost. */
type Device = { device: string; at: number; aheadBy: number; call: string; since: string };
type Trouble = { firstEvent: { seqNum: number; name: string } | null; code: string; message: string; tries: number };
type Client = { store: string; clientId: string; lastPushAt: string; lastResult: string; blocked: Trouble | null };
type Turned = { store: string; who: string; lastTryAt: string; refused: Trouble };

const unix = (text: string | null | undefined): number => (text ? Date.parse(text) / 1000 : 0);

/** What is done to a whole store. */
const ACTS = {
  resume: {
    label: "Resume", submit: "Let it go on", danger: false,
    told: "The log goes on as it stands, under the identity it has: for one that lacks nothing anybody has seen. Clients that hold events behind its head are refused until they drop them.",
  },
  remint: {
    label: "New identity…", submit: "Give it a new identity", danger: true,
    told: "What was lost stays lost: clients drop what they have of the store, and load it anew. What they had not pushed yet goes with that.",
  },
} as const;
type Act = keyof typeof ACTS;

export function EventsTab({ database }: { database: Database }) {
  const path = `/v1/databases/${database.id}/events`;
  const [open, setOpen] = useState<{ act: Act; store: string }>();
  const [confirm, setConfirm] = useState("");
  const [reason, setReason] = useState("");
  const [password, setPassword] = useState("");
  const { busy, error, run } = useAction();
  const show = (act: Act, store: string) => {
    setConfirm("");
    setReason("");
    setPassword("");
    setOpen({ act, store });
  };
  const submit = () => run(async () => {
    const { act, store } = open!;
    if (act === "remint") await signInAgain(password);
    await post(`${path}/stores/${encodeURIComponent(store)}/${act}`, act === "remint" ? { confirm, reason } : {});
    setOpen(undefined);
    stores.again();
  });
  const stores = useLoad(path, (signal) => get<{ stores: Store[] }>(`${path}/stores`, signal), LIVE_MS);
  const clients = useLoad(path, (signal) => get<{ clients: Client[]; refused: Turned[] }>(`${path}/clients`, signal), LIVE_MS);
  const suspects = (stores.value?.stores ?? []).flatMap(({ storeId, suspect }) => (suspect?.devices ?? []).map((one) => ({ ...one, storeId })));
  return (
    <>
      <h2>Stores</h2>
      <Refused error={stores.error} again={stores.again} />
      {stores.value?.stores.length === 0 && <Empty command={`ferry events append ${database.name} noteAdded '{"text":"hello"}' --store my-store`}>No store yet: the first push makes one. From here:</Empty>}
      {!!stores.value?.stores.length && (
        <Table label="Stores" rows={stores.value.stores} rowKey={(one) => one.storeId} columns={[
          { head: "Store", cell: (one) => one.storeId },
          { head: "State", cell: (one) => one.state === "ok" ? "ok" : <span className="bad">{one.state}{one.holdReason && `: ${one.holdReason}`}</span> },
          { head: "Head", number: true, cell: (one) => number(one.head) },
          { head: "Events", number: true, cell: (one) => number(one.count) },
          { head: "Size", number: true, cell: (one) => bytes(one.bytes) },
          { head: "Subscribers", number: true, cell: (one) => number(one.subscribers) },
          { head: "Lagging", number: true, cell: (one) => number(one.lagging) },
          { head: "Last push", number: true, cell: (one) => <Time unix={unix(one.lastPushAt)} /> },
          { head: "", cell: (one) => (
            <span className="confirm">
              {one.state === "hold" && <button type="button" onClick={() => show("resume", one.storeId)}>{ACTS.resume.label}</button>}
              <button type="button" onClick={() => show("remint", one.storeId)}>{ACTS.remint.label}</button>
            </span>
          ) },
        ]} />
      )}
      {suspects.length > 0 && (
        <>
          <h2>Suspects</h2>
          <p className="faint">They hold events that the hub acknowledged and has lost. Before the log reaches the first of them, decide: give the store a new identity, or let it go on.</p>
          <Table label="Suspects" rows={suspects} rowKey={(one) => `${one.storeId} ${one.device}`} columns={[
            { head: "Device", cell: (one) => one.device },
            { head: "Store", cell: (one) => one.storeId },
            { head: "Holds up to", number: true, cell: (one) => number(one.at) },
            { head: "Ahead by", number: true, cell: (one) => <span className="bad">{number(one.aheadBy)}</span> },
            { head: "Seen at its", cell: (one) => one.call },
            { head: "Since", number: true, cell: (one) => <Time unix={unix(one.since)} /> },
          ]} />
        </>
      )}
      {open && (
        <Panel open title={`${ACTS[open.act].submit}: ${open.store}`} submit={ACTS[open.act].submit} danger={ACTS[open.act].danger} busy={busy} error={error}
          disabled={open.act === "remint" && confirm !== open.store} onSubmit={() => void submit()} onClose={() => setOpen(undefined)}>
          <p>{ACTS[open.act].told}</p>
          {open.act === "remint" && (
            <>
              <Field label="Why" hint="It stands in the audit trail."><input name="reason" required autoFocus autoComplete="off" value={reason} onChange={(event) => setReason(event.target.value)} /></Field>
              <Field label={`Type ${open.store}`}><input name="confirm" required autoComplete="off" value={confirm} onChange={(event) => setConfirm(event.target.value)} /></Field>
              <Field label="Your password"><input type="password" name="password" autoComplete="current-password" required value={password} onChange={(event) => setPassword(event.target.value)} /></Field>
            </>
          )}
        </Panel>
      )}
      <h2>Clients since the hub started</h2>
      <Refused error={clients.error} again={clients.again} />
      {clients.value?.clients.length === 0 && <Empty>No client has pushed since then.</Empty>}
      {!!clients.value?.clients.length && (
        <Table label="Clients" rows={clients.value.clients} rowKey={(one) => `${one.store} ${one.clientId}`} columns={[
          { head: "Client", cell: (one) => one.clientId },
          { head: "Store", cell: (one) => one.store },
          { head: "Last push", number: true, cell: (one) => <Time unix={unix(one.lastPushAt)} /> },
          { head: "Result", cell: (one) => one.lastResult },
          { head: "Stuck with", cell: (one) => one.blocked && <Stuck trouble={one.blocked} /> },
        ]} />
      )}
      {!!clients.value?.refused.length && (
        <>
          <h2>Connections not let in</h2>
          <Table label="Connections not let in" rows={clients.value.refused} rowKey={(one) => `${one.store} ${one.who}`} columns={[
            { head: "Who", cell: (one) => one.who },
            { head: "Store", cell: (one) => one.store },
            { head: "Last try", number: true, cell: (one) => <Time unix={unix(one.lastTryAt)} /> },
            { head: "Why", cell: (one) => <Stuck trouble={one.refused} /> },
          ]} />
        </>
      )}
    </>
  );
}

function Stuck({ trouble }: { trouble: Trouble }) {
  const first = trouble.firstEvent;
  return (
    <span className="bad">
      {first && `event ${first.seqNum} ${first.name}: `}{trouble.code}: {trouble.message} ({trouble.tries} {trouble.tries === 1 ? "try" : "tries"})
    </span>
  );
}
