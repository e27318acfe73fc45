import { useState } from "react";
import { rpc, type Invitation, type Member } from "../api.ts";
import { More, useList } from "../ui/list.tsx";
import { useAction } from "../ui/load.ts";
import { Confirm, Empty, Field, Once, Panel, Refused, Table, Time } from "../ui/parts.tsx";

const ROLES = ["admin", "member", "viewer"];

export function PeoplePage({ org, role, self }: { org: string; role: string; self: string }) {
  const members = useList<Member>(org, "ListMembers", "members", { org });
  const action = useAction();
  const admin = role === "admin";
  const setRole = (userId: string, role: string) => action.run(async () => {
    await rpc("SetMemberRole", { org, userId, role });
    members.again();
  });
  const remove = (userId: string) => action.run(async () => {
    await rpc("RemoveMember", { org, userId });
    members.again();
  });
  return (
    <>
      <h1>People</h1>
      <Refused error={action.error ?? members.error} again={members.again} />
      {!!members.value?.length && (
        <Table label="Members" rows={members.value} rowKey={(one) => one.userId} columns={[
          { head: "E-mail", cell: (one) => <>{one.email}{one.userId === self && <span className="faint"> (you)</span>}</> },
          { head: "Role", cell: (one) => admin
            ? <select aria-label={`Role of ${one.email}`} value={one.role} onChange={(event) => void setRole(one.userId, event.target.value)}>{ROLES.map((name) => <option key={name}>{name}</option>)}</select>
            : one.role },
          { head: "Joined", number: true, cell: (one) => <Time unix={one.joinedUnix} /> },
          { head: "", cell: (one) => admin && one.userId !== self && <Confirm label="Remove" ask="They lose every database here." onYes={() => void remove(one.userId)} /> },
        ]} />
      )}
      <More list={members} />
      {admin && <Invitations org={org} />}
    </>
  );
}

function Invitations({ org }: { org: string }) {
  const invitations = useList<Invitation>(org, "ListInvitations", "invitations", { org });
  const [open, setOpen] = useState(false);
  const [email, setEmail] = useState("");
  const [role, setRole] = useState("member");
  const [code, setCode] = useState("");
  const [mailed, setMailed] = useState(false);
  const form = useAction();
  const action = useAction();
  const invite = () => form.run(async () => {
    const made = await rpc<Invitation>("CreateInvitation", { org, email, role });
    setOpen(false);
    setCode(made.code ?? "");
    setMailed(made.mailed ?? false);
    invitations.again();
  });
  const revoke = (id: string) => action.run(async () => {
    await rpc("RevokeInvitation", { id });
    invitations.again();
  });
  return (
    <>
      <div className="head"><h2>Invitations</h2><button type="button" className="primary" onClick={() => setOpen(true)}>Invite</button></div>
      {code && <Once title={mailed ? "The invitation is mailed. This is its code, should the mail not come." : "The invitation's code: hand it to whom you invited."} secret={code} onClose={() => setCode("")} />}
      <Refused error={action.error ?? invitations.error} again={invitations.again} />
      {invitations.value?.length === 0 && <Empty command="ferry invite create someone@example.com">Nobody is invited at the moment. Invite here, or with:</Empty>}
      {!!invitations.value?.length && (
        <Table label="Invitations" rows={invitations.value} rowKey={(one) => one.id} columns={[
          { head: "E-mail", cell: (one) => one.email },
          { head: "Role", cell: (one) => one.role },
          { head: "Ends", number: true, cell: (one) => <Time unix={one.expUnix} /> },
          { head: "", cell: (one) => <Confirm label="Withdraw" ask="The code opens nothing then." onYes={() => void revoke(one.id)} /> },
        ]} />
      )}
      <More list={invitations} />
      <Panel open={open} title="Invite somebody" submit="Make invitation" busy={form.busy} error={form.error} onSubmit={() => void invite()} onClose={() => setOpen(false)}>
        <Field label="E-mail"><input type="email" name="email" required autoFocus value={email} onChange={(event) => setEmail(event.target.value)} /></Field>
        <Field label="Role" hint="A viewer reads, a member writes, an admin decides who does.">
          <select value={role} onChange={(event) => setRole(event.target.value)}>{ROLES.map((name) => <option key={name}>{name}</option>)}</select>
        </Field>
      </Panel>
    </>
  );
}
