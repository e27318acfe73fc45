import { useState } from "react";
import { rpc, type Database, type Token } from "../api.ts";
import { More, useList } from "../ui/list.tsx";
import { useAction, useLoad } from "../ui/load.ts";
import { Confirm, Empty, Field, Once, Panel, Refused, Table, Time } from "../ui/parts.tsx";
import { exact } from "../ui/words.ts";

export const MODELS = ["pages", "events", "records", "ops", "functions"];
export const OPS = ["read", "write", "admin"];
const LIFETIMES: [number, string][] = [[3600, "an hour"], [86_400, "a day"], [604_800, "a week"], [2_592_000, "30 days"]];

/** Some of a few words. */
export function Choices(props: { legend: string; of: string[]; chosen: string[]; onChange: (chosen: string[]) => void }) {
  const toggle = (name: string) =>
    props.onChange(props.of.filter((one) => (one === name) !== props.chosen.includes(one)));
  return (
    <fieldset>
      <legend>{props.legend}</legend>
      {props.of.map((name) => (
        <label key={name}><input type="checkbox" checked={props.chosen.includes(name)} onChange={() => toggle(name)} /> {name}</label>
      ))}
    </fieldset>
  );
}

export const words = (list: string[] | undefined, otherwise: string): string => (list?.length ? list.join(", ") : otherwise);

export function TokensTab({ database, role }: { database: Database; role: string }) {
  const tokens = useList<Token>(database.id, "ListTokens", "tokens", { database: database.id });
  const [open, setOpen] = useState(false);
  // Each form begins anew: what was ticked for one token is not for the next.
  const [round, setRound] = useState(0);
  const show = () => {
    setRound(round + 1);
    setOpen(true);
  };
  const [secret, setSecret] = useState("");
  const action = useAction();
  const revoke = (id: string) => action.run(async () => {
    await rpc("RevokeToken", { tokenId: id });
    tokens.again();
  });
  return (
    <>
      <div className="head">
        <h2>Sync tokens</h2>
        <button type="button" className="primary" onClick={show}>New token</button>
      </div>
      {secret && <Once title="The new token." secret={secret} onClose={() => setSecret("")} />}
      <Refused error={action.error ?? tokens.error} again={tokens.again} />
      {tokens.value?.length === 0 && <Empty command={`ferry db token ${database.name} --op read --ttl-seconds 3600`}>No token is valid now. Make one here, or with:</Empty>}
      {!!tokens.value?.length && (
        <Table label="Tokens" rows={tokens.value} rowKey={(one) => one.tokenId} columns={[
          { head: "Label", cell: (one) => one.label || <span className="faint">none</span> },
          { head: "May", cell: (one) => words(one.ops, "everything") },
          { head: "Models", cell: (one) => words(one.models, "all") },
          { head: "Issued", number: true, cell: (one) => <Time unix={one.issuedUnix} /> },
          { head: "Ends", number: true, cell: (one) => <Time unix={one.expUnix} /> },
          { head: "Id", cell: (one) => <code>…{one.tokenId.slice(-8)}</code> },
          { head: "", cell: (one) => <Confirm label="Revoke" ask="Its clients are cut off." onYes={() => void revoke(one.tokenId)} /> },
        ]} />
      )}
      <More list={tokens} />
      <Mint key={round} database={database} role={role} open={open} onClose={() => setOpen(false)} onMade={(token) => {
        setOpen(false);
        setSecret(token);
        tokens.again();
      }} />
    </>
  );
}

function Mint(props: { database: Database; role: string; open: boolean; onClose: () => void; onMade: (token: string) => void }) {
  const { database } = props;
  const [label, setLabel] = useState("");
  const [ops, setOps] = useState(["read"]);
  const [models, setModels] = useState(MODELS);
  const [ttl, setTtl] = useState(3600);
  const [tables, setTables] = useState("");
  const [network, setNetwork] = useState("");
  const { busy, error, run } = useAction();
  // A token ends with the session that made it.
  const who = useLoad("who", (signal) => rpc<{ whoami: { sessionExpUnix?: string } }>("Whoami", {}, signal));
  const ends = Number(who.value?.whoami.sessionExpUnix ?? 0);
  const isCut = ends > 0 && ttl > ends - Date.now() / 1000;
  const offered = props.role === "admin" ? OPS : props.role === "viewer" ? ["read"] : ["read", "write"];
  const caveats = [tables && `tbl=${tables}`, network && `ip=${network}`].filter(Boolean);
  const mint = () => run(async () => {
    const made = await rpc<{ token: string }>("IssueSyncToken", { databaseId: database.id, ops, models, ttlSeconds: ttl, caveats, label });
    props.onMade(made.token);
  });
  const lifetime = LIFETIMES.find(([seconds]) => seconds === ttl)?.[1];
  return (
    <Panel open={props.open} title={`New token for ${database.name}`} submit="Make token" busy={busy} error={error}
      disabled={ops.length === 0 || models.length === 0} onSubmit={() => void mint()} onClose={props.onClose}>
      <Field label="Label" hint="Who or what will carry it."><input name="label" autoFocus value={label} onChange={(event) => setLabel(event.target.value)} /></Field>
      <Choices legend="May" of={offered} chosen={ops} onChange={setOps} />
      <Choices legend="In" of={MODELS} chosen={models} onChange={setModels} />
      <Field label="Lives for" hint={isCut ? `At the latest it ends with your session, at ${exact(ends)}.` : ""}>
        <select value={ttl} onChange={(event) => setTtl(Number(event.target.value))}>
          {LIFETIMES.map(([seconds, name]) => <option key={seconds} value={seconds}>{name}</option>)}
        </select>
      </Field>
      <Field label="Only tables that begin with" hint="Optional. Collections of records and stores of events count as tables."><input name="tables" value={tables} onChange={(event) => setTables(event.target.value)} /></Field>
      <Field label="Only from the network" hint="Optional, such as 192.0.2.0/24."><input name="network" value={network} onChange={(event) => setNetwork(event.target.value)} /></Field>
      <p className="preview" data-testid="preview" aria-live="polite">
        {ops.length === 0 || models.length === 0
          ? "Nothing is left: choose what it may, and in which models."
          : <>Whoever holds it may <b>{ops.join(" and ")}</b> in <b>{models.length === MODELS.length ? "all models" : models.join(", ")}</b> of <b>{database.name}</b>
            {tables && <>, only what begins with <b>{tables}</b></>}{network && <>, only from <b>{network}</b></>}, for <b>{isCut ? "as long as your session" : lifetime}</b>. It opens no other database.</>}
      </p>
    </Panel>
  );
}
