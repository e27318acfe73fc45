import { useState } from "react";
import { asksAgain, operatorRpc, prove } from "../operator.ts";
import { useAction, useLoad } from "../ui/load.ts";
import { Confirm, Field, Once, Panel, Proof, Refused, Table, Time } from "../ui/parts.tsx";
import { number } from "../ui/words.ts";

type User = { userId: string; email: string; disabled?: boolean; operator?: boolean; createdUnix?: string; lastSeenUnix?: string };
type SigningKey = { kid: string; state: string; createdUnix?: string };

const PAGE = 200;

/** What is about to be done for good: a user operates the hub or no longer, somebody gets into a user's account, a key goes. */
type Grave = { act: "operator" | "code"; user: User } | { act: "retire"; key: SigningKey };

/** What the panel says about it; `name` is to be typed. */
function wordsOf(grave: Grave): { name: string; title: string; submit: string; text: string } {
  if (grave.act === "retire") {
    const text = "All that it signed is void at once: sessions and tokens of everybody who has not come by since.";
    return { name: grave.key.kid, title: `Retire the key ${grave.key.kid}`, submit: "Retire it", text };
  }
  const { email, operator } = grave.user;
  if (grave.act === "code") {
    const text = "Whoever has the code sets a new password and is then in the account, for an hour from now. Codes that were made or mailed before are void.";
    return { name: email, title: "A code for a new password", submit: "Make it", text };
  }
  return operator
    ? { name: email, title: "No operator any more", submit: "Change it", text: "The user sees nothing more of the hub as a whole, from the next second on." }
    : { name: email, title: "Make an operator", submit: "Change it",
      text: "The user sees and does on the hub’s pages what the operator token lets: all users, backups, settings, also of databases that are not theirs." };
}

/** Everybody who has an account, and the keys that sign what they hold. */
export function Users() {
  const [filter, setFilter] = useState("");
  const [pages, setPages] = useState(1);
  const list = useLoad(`users ${filter}`, async (signal) => {
    const users: User[] = [];
    let pageToken = "";
    for (let page = 0; page < pages; page += 1) {
      const message = { emailContains: filter, pageSize: PAGE, pageToken };
      const answer = await operatorRpc<{ users?: User[]; nextPageToken?: string }>("ListUsers", message, signal);
      users.push(...(answer.users ?? []));
      pageToken = answer.nextPageToken ?? "";
      if (!pageToken) break;
    }
    return { users, hasMore: pageToken !== "" };
  });
  const keys = useLoad("keys", (signal) => operatorRpc<{ keys?: SigningKey[] }>("ListSigningKeys", {}, signal));
  const [making, setMaking] = useState(false);
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState<{ email: string; code: string }>();
  const [grave, setGrave] = useState<Grave>();
  const [confirm, setConfirm] = useState("");
  const [typed, setTyped] = useState("");
  const form = useAction();
  const action = useAction();
  const begin = (what: Grave) => {
    setConfirm("");
    setTyped("");
    setGrave(what);
  };
  const finish = () => form.run(async () => {
    if (asksAgain()) await prove(typed);
    if (grave!.act === "retire") await operatorRpc("RetireSigningKey", { kid: grave!.key.kid });
    else if (grave!.act === "operator") await operatorRpc("SetUserOperator", { userId: grave!.user.userId, operator: !grave!.user.operator });
    else {
      const { email } = grave!.user;
      const made = await operatorRpc<{ code: string }>("IssuePasswordReset", { email });
      setCode({ email, code: made.code });
    }
    setGrave(undefined);
    list.again();
    keys.again();
  });
  const act = (method: string, message: object) => action.run(async () => {
    await operatorRpc(method, message);
    list.again();
    keys.again();
  });
  const make = () => form.run(async () => {
    await operatorRpc("CreateUser", { email, password });
    setMaking(false);
    setEmail("");
    setPassword("");
    list.again();
  });
  const users = list.value?.users;
  const words = grave && wordsOf(grave);
  return (
    <>
      <div className="head">
        <h2>Users</h2>
        <input type="search" data-filter aria-label="Filter by address" placeholder="Filter" value={filter} onChange={(event) => setFilter(event.target.value)} />
        <button type="button" className="primary" onClick={() => setMaking(true)}>New account</button>
      </div>
      <Refused error={action.error ?? list.error ?? keys.error} again={() => { list.again(); keys.again(); }} />
      {code && <Once title={`A code with which ${code.email} sets a new password.`} secret={code.code} onClose={() => setCode(undefined)} />}
      {!users && !list.error && <p className="faint" aria-busy="true">Asking the hub…</p>}
      {users?.length === 0 && <p className="faint">No address contains “{filter}”.</p>}
      {!!users?.length && (
        <Table label="Users" rows={users} rowKey={(one) => one.userId} columns={[
          { head: "E-mail", cell: (one) => one.email },
          { head: "State", cell: (one) => one.disabled ? <span className="bad">locked out</span> : one.operator ? "operator" : "active" },
          { head: "Made", number: true, cell: (one) => <Time unix={one.createdUnix} /> },
          { head: "Seen", number: true, cell: (one) => <Time unix={one.lastSeenUnix} /> },
          { head: "Id", cell: (one) => <code>{one.userId}</code> },
          { head: "", cell: (one) => (
            <span className="confirm">
              {one.disabled
                ? <button type="button" onClick={() => void act("DisableUser", { userId: one.userId, disabled: false })}>Let in</button>
                : <Confirm label="Lock out" ask="Its sessions and tokens end." onYes={() => void act("DisableUser", { userId: one.userId, disabled: true })} />}
              <button type="button" onClick={() => begin({ act: "code", user: one })}>Reset code</button>
              <button type="button" onClick={() => begin({ act: "operator", user: one })}>{one.operator ? "No operator any more" : "Make operator"}</button>
            </span>
          ) },
        ]} />
      )}
      {list.value?.hasMore && <p className="line"><button type="button" onClick={() => { setPages(pages + 1); list.again(); }}>More</button><span className="faint">{number(users?.length)} are shown.</span></p>}
      <div className="head">
        <h2>Signing keys</h2>
        <Confirm label="Rotate" ask="A new key signs; what the others signed holds." onYes={() => void act("RotateSigningKey", {})} />
      </div>
      {!!keys.value?.keys?.length && (
        <Table label="Signing keys" rows={keys.value.keys} rowKey={(one) => one.kid} columns={[
          { head: "Key", cell: (one) => <code>{one.kid}</code> },
          { head: "State", cell: (one) => one.state },
          { head: "Made", number: true, cell: (one) => one.createdUnix ? <Time unix={one.createdUnix} /> : <span className="faint">unknown</span> },
          { head: "", cell: (one) => one.state !== "active" && <button type="button" onClick={() => begin({ act: "retire", key: one })}>Retire…</button> },
        ]} />
      )}
      <p className="faint">One that was stolen is retired, once another one signs.</p>
      {words && (
        <Panel open title={words.title} submit={words.submit} danger busy={form.busy} error={form.error}
          disabled={confirm !== words.name} onSubmit={() => void finish()} onClose={() => setGrave(undefined)}>
          <p>{words.text}</p>
          <Field label={`Type ${words.name}`}><input name="confirm" required autoFocus autoComplete="off" value={confirm} onChange={(event) => setConfirm(event.target.value)} /></Field>
          <Proof value={typed} onChange={setTyped} />
        </Panel>
      )}
      <Panel open={making} title="New account" submit="Make it" busy={form.busy} error={form.error} onSubmit={() => void make()} onClose={() => setMaking(false)}>
        <Field label="E-mail"><input type="email" name="email" required autoFocus autoComplete="off" value={email} onChange={(event) => setEmail(event.target.value)} /></Field>
        <Field label="Password" hint="At least 8 characters; hand it over, and have it changed."><input type="password" name="password" required autoComplete="new-password" value={password} onChange={(event) => setPassword(event.target.value)} /></Field>
      </Panel>
    </>
  );
}
