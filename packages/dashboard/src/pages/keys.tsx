import { useState } from "react";
import { rpc, type ApiKey, type Database } from "../api.ts";
import { More, useList } from "../ui/list.tsx";
import { useAction } from "../ui/load.ts";
import { Confirm, Empty, Field, Once, Panel, Refused, Table, Time } from "../ui/parts.tsx";
import { Choices, MODELS, OPS, words } from "./tokens.tsx";

const list = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean);

export function KeysTab({ database }: { database: Database }) {
  const keys = useList<ApiKey>(database.id, "ListApiKeys", "apiKeys", { database: database.id });
  const [open, setOpen] = useState(false);
  const [secret, setSecret] = useState("");
  const [label, setLabel] = useState("");
  const [kind, setKind] = useState("publishable");
  const [ops, setOps] = useState(["read"]);
  const [models, setModels] = useState(MODELS);
  const [origins, setOrigins] = useState("");
  const form = useAction();
  const action = useAction();
  const create = () => form.run(async () => {
    const spec = { kind, label, ops, models, origins: list(origins) };
    const made = await rpc<ApiKey>("CreateApiKey", { database: database.id, spec });
    setOpen(false);
    setSecret(made.value ?? "");
    keys.again();
  });
  const rotate = (id: string) => action.run(async () => {
    setSecret((await rpc<ApiKey>("RotateApiKey", { id })).value ?? "");
    keys.again();
  });
  const revoke = (id: string) => action.run(async () => {
    await rpc("RevokeApiKey", { id });
    keys.again();
  });
  return (
    <>
      <div className="head"><h2>API keys</h2><button type="button" className="primary" onClick={() => setOpen(true)}>New key</button></div>
      {secret && <Once title="The new key." secret={secret} onClose={() => setSecret("")} />}
      <Refused error={action.error ?? keys.error} again={keys.again} />
      {keys.value?.length === 0 && <Empty command={`ferry key create ${database.name}`}>No key yet: web pages and servers carry one. Make one here, or with:</Empty>}
      {!!keys.value?.length && (
        <Table label="API keys" rows={keys.value} rowKey={(one) => one.id} columns={[
          { head: "Label", cell: (one) => one.label || <span className="faint">none</span> },
          { head: "Key", cell: (one) => <code>{one.prefix}…</code> },
          { head: "Kind", cell: (one) => one.kind },
          { head: "May", cell: (one) => words(one.ops, "everything") },
          { head: "Models", cell: (one) => words(one.models, "all") },
          { head: "Origins", cell: (one) => words(one.origins, "any") },
          { head: "Last used", number: true, cell: (one) => <Time unix={one.lastUsedUnix} /> },
          { head: "Ends", number: true, cell: (one) => <Time unix={one.expUnix} /> },
          { head: "", cell: (one) => <><Confirm label="Rotate" ask="The old one lives a day." onYes={() => void rotate(one.id)} />{" "}<Confirm label="Revoke" ask="Its clients are cut off." onYes={() => void revoke(one.id)} /></> },
        ]} />
      )}
      <More list={keys} />
      <Panel open={open} title={`New API key for ${database.name}`} submit="Make key" busy={form.busy} error={form.error} disabled={ops.length === 0 || models.length === 0}
        onSubmit={() => void create()} onClose={() => setOpen(false)}>
        <Field label="Label"><input name="label" autoFocus value={label} onChange={(event) => setLabel(event.target.value)} /></Field>
        <Field label="Kind" hint="A publishable key may stand in a web page; a secret one stays on a server.">
          <select value={kind} onChange={(event) => setKind(event.target.value)}><option>publishable</option><option>secret</option></select>
        </Field>
        <Choices legend="May" of={kind === "secret" ? OPS : ["read", "write"]} chosen={ops} onChange={setOps} />
        <Choices legend="In" of={MODELS} chosen={models} onChange={setModels} />
        <Field label="Only on pages of" hint="Origins such as https://app.example.com; empty: anywhere."><input name="origins" value={origins} onChange={(event) => setOrigins(event.target.value)} /></Field>
      </Panel>
    </>
  );
}
