import { useEffect, useState, type FormEvent } from "react";
import { rpc, type Facts, type Refusal } from "../api.ts";
import { providerName, signInBy } from "../provider.ts";
import { useAction } from "../ui/load.ts";
import { Copy, Field, Refused } from "../ui/parts.tsx";

/** Signs in, or makes an account where the hub lets one; `email`: of whom, if that is known. */
export function SignInPage({ facts, onSignedIn, email: known, turned, onForgot }: {
  facts: Facts; onSignedIn: () => void; email?: string; turned?: Refusal | undefined; onForgot?: () => void;
}) {
  const first = !facts.has_accounts;
  const operatorCode = first ? operatorLink() : "";
  const mayMake = facts.signup !== "closed" || operatorCode !== "";
  const [making, setMaking] = useState(first && (facts.signup === "open" || operatorCode !== ""));
  const [email, setEmail] = useState(known ?? "");
  const [password, setPassword] = useState("");
  const [inviteCode, setInviteCode] = useState("");
  const { busy, error, run } = useAction();
  useEffect(() => {
    // The link, opened where the page is already.
    const follow = () => OPERATOR_LINK.test(location.hash) && location.reload();
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      if (making) await rpc("Signup", { email, password, inviteCode, operatorCode });
      else await rpc("Login", { email, password, label: "dashboard" });
      onSignedIn();
    });
  };
  const Frame = known ? "div" : "main";
  return (
    <Frame className="sign-in">
      <form onSubmit={submit}>
        {!known && <h1>{making ? (first ? "Make the first account of this hub" : "Make an account") : "Sign in to Ferry"}</h1>}
        {operatorCode && making && <p>It operates the hub: it sees its numbers, backups, users and settings without the operator’s token.</p>}
        {first && facts.signup !== "open" && !operatorCode && (
          <p>
            This hub has no accounts yet, and lets nobody make one from here. On its machine:
            <br /><code>{FIRST_ACCOUNT}</code> <Copy text={FIRST_ACCOUNT} />
          </p>
        )}
        <Field label="E-mail">
          <input type="email" name="email" autoComplete="username" required autoFocus value={email} onChange={(event) => setEmail(event.target.value)} />
        </Field>
        <Field label="Password" {...(making && { hint: "At least 8 characters." })}>
          <input type="password" name="password" autoComplete={making ? "new-password" : "current-password"} required
            value={password} onChange={(event) => setPassword(event.target.value)} />
        </Field>
        {making && facts.signup === "invite" && !operatorCode && (
          <Field label="Invitation code"><input name="code" required value={inviteCode} onChange={(event) => setInviteCode(event.target.value)} /></Field>
        )}
        <Refused error={error ? undefined : turned} />
        <Refused error={error?.status === 401 && !making ? Object.assign(error, { message: "This e-mail and password do not belong together." }) : error} />
        <p className="buttons">
          <button type="submit" className="primary" disabled={busy}>{making ? "Make account" : "Sign in"}</button>
          {!known && mayMake && (
            <button type="button" onClick={() => setMaking(!making)}>{making ? "I have an account" : "Make an account"}</button>
          )}
          {!making && facts.mail && onForgot && <button type="button" onClick={onForgot}>Forgot your password?</button>}
        </p>
        {!known && !!facts.providers?.length && (
          <p className="buttons" role="group" aria-label="Or by a provider">
            {facts.providers.map((provider) => (
              <button key={provider} type="button" disabled={busy} onClick={() => void run(() => signInBy(provider))}>Sign in with {providerName(provider)}</button>
            ))}
          </p>
        )}
      </form>
    </Frame>
  );
}

/** The code of the link that a hub without accounts prints. It leaves the address bar, and stays in this page's memory. */
let code: string | undefined;
const OPERATOR_LINK = /^#operator=([\w-]+)$/;
function operatorLink(): string {
  if (code === undefined) {
    code = OPERATOR_LINK.exec(location.hash)?.[1] ?? "";
    if (code) history.replaceState(null, "", location.pathname + location.search);
  }
  return code;
}

const FIRST_ACCOUNT = "ferry admin user create you@example.com --operator-token-file ferry-data/operator.token";
