import { useState, type FormEvent } from "react";
import { rpc, type Session, type Whoami } from "../api.ts";
import { choose, theme, THEMES, type Theme } from "../theme.ts";
import { More, useList } from "../ui/list.tsx";
import { useAction } from "../ui/load.ts";
import { Confirm, Field, Refused, Table, Time } from "../ui/parts.tsx";

export function AccountPage({ who, onJoined }: { who: Whoami; onJoined: () => void }) {
  const sessions = useList<Session>("sessions", "ListSessions", "sessions", {});
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [changed, setChanged] = useState(false);
  const [code, setCode] = useState("");
  const joining = useAction();
  const form = useAction();
  const action = useAction();
  const change = (event: FormEvent) => {
    event.preventDefault();
    setChanged(false);
    void form.run(async () => {
      await rpc("ChangePassword", { current, new: next, keepOtherSessions: true });
      setCurrent("");
      setNext("");
      setChanged(true);
    });
  };
  const join = (event: FormEvent) => {
    event.preventDefault();
    void joining.run(async () => {
      await rpc("AcceptInvitation", { code });
      setCode("");
      onJoined();
    });
  };
  const end = (sessionId: string) => action.run(async () => {
    await rpc("RevokeSession", { sessionId });
    sessions.again();
  });
  return (
    <>
      <h1>Account</h1>
      <dl className="facts">
        <div><dt>E-mail</dt><dd>{who.email}</dd></div>
        <div><dt>User</dt><dd><code>{who.userId}</code></dd></div>
        <div><dt>This session ends</dt><dd><Time unix={who.sessionExpUnix} /></dd></div>
      </dl>
      <h2>Appearance</h2>
      <p className="line">
        <label>Theme <select defaultValue={theme()} onChange={(event) => choose(event.target.value as Theme)}>
          {THEMES.map((one) => <option key={one}>{one}</option>)}
        </select></label>
        <span className="faint">In this browser.</span>
      </p>
      <h2>Join an organisation</h2>
      <form className="narrow" onSubmit={join}>
        <Field label="Invitation code"><input name="code" required autoComplete="off" value={code} onChange={(event) => setCode(event.target.value)} /></Field>
        <Refused error={joining.error} />
        <p className="buttons"><button type="submit" disabled={joining.busy}>Join</button></p>
      </form>
      <h2>Sessions</h2>
      <Refused error={action.error ?? sessions.error} again={sessions.again} />
      {!!sessions.value?.length && (
        <Table label="Sessions" rows={sessions.value} rowKey={(one) => one.id} columns={[
          { head: "Device", cell: (one) => <>{one.label || <span className="faint">unnamed</span>}{one.current && <span className="faint"> (this one)</span>}</> },
          { head: "Address", cell: (one) => one.ip },
          { head: "Since", number: true, cell: (one) => <Time unix={one.createdUnix} /> },
          { head: "Seen", number: true, cell: (one) => <Time unix={one.lastSeenUnix} /> },
          { head: "Ends", number: true, cell: (one) => <Time unix={one.expUnix} /> },
          { head: "", cell: (one) => !one.current && <Confirm label="End" ask="Its tokens end too." onYes={() => void end(one.id)} /> },
        ]} />
      )}
      <More list={sessions} />
      <h2>Password</h2>
      <form className="narrow" onSubmit={change}>
        <Field label="Current"><input type="password" autoComplete="current-password" required value={current} onChange={(event) => setCurrent(event.target.value)} /></Field>
        <Field label="New"><input type="password" autoComplete="new-password" required value={next} onChange={(event) => setNext(event.target.value)} /></Field>
        <Refused error={form.error} />
        {changed && <p role="status">The password is changed. Other sessions go on.</p>}
        <p className="buttons"><button type="submit" disabled={form.busy}>Change password</button></p>
      </form>
    </>
  );
}
