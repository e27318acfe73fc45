/** Pages that mails lead to, what asks for such mails, and the account. They are loaded when somebody comes to one. */

import { useState, type FormEvent, type ReactNode } from "react";
import { rpc, type Facts, type Whoami } from "../api.ts";
import type { Linked } from "../linked.ts";
import { useAction } from "../ui/load.ts";
import { Field, Refused } from "../ui/parts.tsx";

export { AccountPage } from "./account.tsx";

type Props = { linked: Linked; facts: Facts; who: Whoami | undefined; onDone: () => void };

export default function LinkedPage(props: Props) {
  const Page = { verify: Verify, invite: Invite, reset: Reset, forgot: Forgot }[props.linked.page];
  return <main className="sign-in"><Page {...props} /></main>;
}

/** A form with a title, whose one button acts; afterwards what that did, and the way on. */
function Act({ title, submit, done, on, act, onDone, children, more }: {
  title: string; submit: string; done: string; on: string; act: () => Promise<void>; onDone: () => void; children: ReactNode; more?: ReactNode;
}) {
  const [acted, setActed] = useState(false);
  const { busy, error, run } = useAction();
  const go = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      await act();
      setActed(true);
    });
  };
  return (
    <form onSubmit={acted ? (event) => (event.preventDefault(), onDone()) : go}>
      <h1>{title}</h1>
      {acted ? <p role="status">{done}</p> : children}
      <Refused error={error} />
      <p className="buttons">
        {acted
          ? <button key="on" type="submit" className="primary" autoFocus>{on}</button>
          : <button key="act" type="submit" className="primary" disabled={busy}>{submit}</button>}
        {!acted && more}
        {!acted && <button type="button" onClick={onDone}>Cancel</button>}
      </p>
    </form>
  );
}

function Email({ value, onChange }: { value: string; onChange: (email: string) => void }) {
  return (
    <Field label="E-mail">
      <input type="email" name="email" autoComplete="username" required autoFocus value={value} onChange={(event) => onChange(event.target.value)} />
    </Field>
  );
}

function Password({ fresh, value, onChange }: { fresh: boolean; value: string; onChange: (password: string) => void }) {
  return (
    <Field label={fresh ? "New password" : "Password"} {...(fresh && { hint: "At least 8 characters." })}>
      <input type="password" name="password" autoComplete={fresh ? "new-password" : "current-password"} required value={value}
        onChange={(event) => onChange(event.target.value)} />
    </Field>
  );
}

function Verify({ linked, who, onDone }: Props) {
  const act = async () => void (await rpc("VerifyEmail", { code: linked.code }));
  return (
    <Act title="Confirm your e-mail address" submit="It is mine" done="The address is confirmed." on={who ? "Go on" : "Sign in"} act={act} onDone={onDone}>
      <p>The link of the mail shows that the address is yours.</p>
    </Act>
  );
}

function Reset({ linked, onDone }: Props) {
  const [password, setPassword] = useState("");
  const act = async () => void (await rpc("ResetPassword", { code: linked.code, newPassword: password }));
  return (
    <Act title="Set a new password" submit="Set password" done="The password is set, and every session of the account has ended." on="Sign in" act={act} onDone={onDone}>
      <Password fresh value={password} onChange={setPassword} />
    </Act>
  );
}

function Forgot({ onDone }: Props) {
  const [email, setEmail] = useState("");
  const act = async () => void (await rpc("RequestPasswordReset", { email }));
  return (
    <Act title="Forgot your password?" submit="Mail me a link" done={`If ${email} has an account, a link is on its way there. It works for one hour.`} on="Back to sign-in"
      act={act} onDone={onDone}>
      <Email value={email} onChange={setEmail} />
    </Act>
  );
}

function Invite({ linked, facts, who, onDone }: Props) {
  const [making, setMaking] = useState(facts.signup !== "closed");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const { code } = linked;
  const act = async () => {
    if (!who && making) return void (await rpc("Signup", { email, password, inviteCode: code }));
    if (!who) await rpc("Login", { email, password, label: "dashboard" });
    await rpc("AcceptInvitation", { code });
  };
  const other = !who && facts.signup !== "closed" && (
    <button type="button" onClick={() => setMaking(!making)}>{making ? "I have an account" : "Make an account"}</button>
  );
  return (
    <Act title="You are invited" submit={who ? "Join" : making ? "Make account and join" : "Sign in and join"} done="You are a member now." on="Go on" act={act}
      onDone={onDone} more={other}>
      {who
        ? <p>Join the organisation as {who.email}. The invitation works for the address it was sent to.</p>
        : <>
            <p>Use the address that the invitation was sent to.</p>
            <Email value={email} onChange={setEmail} />
            <Password fresh={making} value={password} onChange={setPassword} />
          </>}
    </Act>
  );
}

/** Whose address is not proven is told so, and may ask for another mail. */
export function Unverified({ who, facts }: { who: Whoami; facts: Facts }) {
  const [asked, setAsked] = useState(false);
  const { busy, error, run } = useAction();
  const ask = () => void run(async () => {
    await rpc("RequestVerification");
    setAsked(true);
  });
  return (
    <section className="expired" aria-label="Confirm your e-mail address">
      <p>
        {asked ? `A mail is on its way to ${who.email}.` : `Your address ${who.email} is not confirmed yet: open the link that was mailed to you.`}
        {facts.require_verified && " Until then this hub lets you do nothing else."}
      </p>
      <Refused error={error} />
      {!asked && <p className="buttons"><button type="button" disabled={busy} onClick={ask}>Mail me another link</button></p>}
    </section>
  );
}
