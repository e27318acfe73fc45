import { Component, lazy, Suspense, useEffect, useState, type ReactNode } from "react";
import { forget, get, Refusal, rpc, whenSignedOut, type Facts, type Whoami } from "./api.ts";
import { AuditPage } from "./pages/audit.tsx";
import { DatabasePage } from "./pages/database.tsx";
import { DatabasesPage } from "./pages/databases.tsx";
import { PeoplePage } from "./pages/people.tsx";
import { SignInPage } from "./pages/sign-in.tsx";
import { linkedPage } from "./linked.ts";
import { cameBack } from "./provider.ts";
import { go, useRoute } from "./route.ts";
import { useKeys } from "./ui/keys.ts";
import { Link, Refused } from "./ui/parts.tsx";

/** Pages of the bar, with the letter that opens each after `g`. */
const PAGES = [
  { path: "databases", name: "Databases", letter: "d" },
  { path: "people", name: "People", letter: "p" },
  { path: "audit", name: "Audit", letter: "a" },
  { path: "hub", name: "Hub", letter: "h" },
  { path: "account", name: "Account", letter: "c" },
];

/** In files of their own, which come when they are wanted. */
const AccountPage = lazy(() => import("./pages/linked.tsx").then((pages) => ({ default: pages.AccountPage })));
const HubPage = lazy(() => import("./pages/hub.tsx").then(({ HubPage }) => ({ default: HubPage })));
const LinkedPage = lazy(() => import("./pages/linked.tsx"));
const Unverified = lazy(() => import("./pages/linked.tsx").then((pages) => ({ default: pages.Unverified })));

/** Around what comes later: a hub that was replaced by another version since has another one. */
class Later extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };
  static getDerivedStateFromError() {
    return { failed: true };
  }
  override render() {
    if (!this.state.failed) return this.props.children;
    return <p className="empty">This part of the page did not come: the hub does not answer, or runs another version by now. <button type="button" onClick={() => location.reload()}>Load the page anew</button></p>;
  }
}

/** How often it is looked what the user may. */
const ROLE_MS = 700;

export function App() {
  const [who, setWho] = useState<Whoami>();
  const [facts, setFacts] = useState<Facts>();
  const [state, setState] = useState<"asking" | "out" | "in">("asking");
  const [expired, setExpired] = useState(false);
  const [error, setError] = useState<Refusal>();
  /** Where a mail led to. */
  const [linked, setLinked] = useState(linkedPage);
  /** Why a provider's word did not let anybody in. */
  const [turned, setTurned] = useState<Refusal>();

  const ask = async () => {
    setError(undefined);
    try {
      // Beside each other: on a slow line each is a while.
      const facts = get<Facts>("/hub").then(setFacts);
      const who = cameBack().catch(setTurned).then(() => rpc<{ whoami: Whoami }>("Whoami"));
      const [answer] = await Promise.all([who.catch((refusal: Refusal) => refusal), facts]);
      if (answer instanceof Refusal) throw answer;
      setWho(answer.whoami);
      setExpired(false);
      setState("in");
    } catch (refusal) {
      forget();
      if (refusal instanceof Refusal && refusal.status === 401) setState("out");
      else setError(refusal as Refusal);
    }
  };
  useEffect(() => void ask(), []);
  // A session that ends while somebody works: the page stays, and with it what was typed.
  useEffect(() => whenSignedOut(() => setExpired(true)), []);
  // A role that goes takes its pages with it.
  useEffect(() => {
    if (state !== "in" || expired) return;
    const timer = setInterval(() => document.visibilityState === "visible" && void rpc<{ whoami: Whoami }>("Whoami").then(
      ({ whoami }) => setWho((old) => (JSON.stringify(old) === JSON.stringify(whoami) ? old : whoami)),
      // Pages tell what fails.
      () => undefined,
    ), ROLE_MS);
    return () => clearInterval(timer);
  }, [state, expired]);

  if (error && state === "asking") return <main className="sign-in"><Refused error={error} again={() => void ask()} /></main>;
  if (state === "asking" || !facts) return <main className="sign-in" aria-busy="true"><p className="faint">Asking the hub…</p></main>;
  if (linked) {
    const done = () => (setLinked(undefined), void ask());
    return <Later><Suspense fallback={null}><LinkedPage linked={linked} facts={facts} who={state === "in" ? who : undefined} onDone={done} /></Suspense></Later>;
  }
  const forgot = () => setLinked({ page: "forgot", code: "" });
  if (state === "out" || !who) return <SignInPage onForgot={forgot} facts={facts} turned={turned} onSignedIn={() => void ask()} />;
  const signOut = async () => {
    await rpc("RevokeSession", {}).catch(() => undefined);
    location.reload();
  };
  return <Shell who={who} facts={facts} expired={expired} onSignedIn={() => void ask()} onSignOut={() => void signOut()} />;
}

function Shell(props: { who: Whoami; facts: Facts; expired: boolean; onSignedIn: () => void; onSignOut: () => void }) {
  const { who } = props;
  const route = useRoute();
  const [chosen, setOrg] = useState(who.orgId);
  const [help, setHelp] = useState(false);
  const orgs = who.orgs ?? [];
  const org = orgs.some((one) => one.id === chosen) ? chosen : who.orgId;
  const role = orgs.find((one) => one.id === org)?.role ?? who.role;
  useKeys(PAGES.map(({ path, letter }) => [letter, () => go(path)]), () => setHelp((shown) => !shown));
  const page = route[0] ?? "databases";
  return (
    <>
      <header className="bar">
        <strong>Ferry</strong>
        <nav aria-label="Pages">
          {PAGES.map(({ path, name }) => <Link key={path} to={[path]} current={path === page}>{name}</Link>)}
        </nav>
        <select aria-label="Organisation" value={org} onChange={(event) => setOrg(event.target.value)}>
          {orgs.map((one) => <option key={one.id} value={one.id}>{one.name}</option>)}
        </select>
        <button type="button" onClick={() => setHelp(true)} aria-label="Keys">?</button>
        <button type="button" onClick={props.onSignOut}>Sign out</button>
      </header>
      {props.expired && (
        <section className="expired" aria-label="Sign in again">
          <p>Your session has ended. Sign in again; what you typed below is still there.</p>
          <SignInPage facts={props.facts} onSignedIn={props.onSignedIn} email={who.email} />
        </section>
      )}
      {props.facts.mail && !who.emailVerified && <Later><Suspense fallback={null}><Unverified who={who} facts={props.facts} /></Suspense></Later>}
      {help && <Help onClose={() => setHelp(false)} />}
      <main>
        {page === "databases" && route[1] && <DatabasePage key={route[1]} id={route[1]} tab={route[2] ?? ""} rest={route.slice(3)} orgs={orgs} />}
        {page === "databases" && !route[1] && <DatabasesPage key={org} org={org} role={role} />}
        {page === "people" && <PeoplePage key={org} org={org} role={role} self={who.userId} />}
        {page === "audit" && <AuditPage key={org} org={org} role={role} />}
        {page === "hub" && (
          <Later><Suspense fallback={<p className="faint" aria-busy="true">Reading…</p>}><HubPage tab={route[1] ?? ""} org={org} operates={who.operator === true} /></Suspense></Later>
        )}
        {page === "account" && <Later><Suspense fallback={null}><AccountPage who={who} onJoined={props.onSignedIn} /></Suspense></Later>}
        {!PAGES.some(({ path }) => path === page) && <p className="empty">No such page. <Link to={["databases"]}>Databases</Link></p>}
      </main>
      <footer>ferry {props.facts.version} · {who.email}{who.operator && ", operator"} · {role} in {orgs.find((one) => one.id === org)?.name ?? org}</footer>
    </>
  );
}

function Help({ onClose }: { onClose: () => void }) {
  return (
    <section className="help" aria-label="Keys">
      <dl>
        {PAGES.map(({ name, letter }) => <div key={letter}><dt><kbd>g</kbd> <kbd>{letter}</kbd></dt><dd>{name}</dd></div>)}
        <div><dt><kbd>/</kbd></dt><dd>Filter</dd></div>
        <div><dt><kbd>Esc</kbd></dt><dd>Close a form</dd></div>
        <div><dt><kbd>?</kbd></dt><dd>This list</dd></div>
      </dl>
      <button type="button" onClick={onClose} autoFocus>Close</button>
    </section>
  );
}
