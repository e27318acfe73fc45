import { operatorRpc } from "../operator.ts";
import { useLoad } from "../ui/load.ts";
import { Refused, Table } from "../ui/parts.tsx";

type Check = { level: string; check: string; text: string };

/** What `ferry doctor` finds on the hub's machine. */
export function Doctor() {
  const found = useLoad("doctor", async (signal) => (await operatorRpc<{ checks?: Check[] }>("RunDoctor", {}, signal)).checks ?? []);
  const bad = found.value?.filter((one) => one.level !== "ok").length ?? 0;
  return (
    <>
      <div className="head">
        <h2>Checks</h2>
        <button type="button" onClick={found.again}>Check again</button>
      </div>
      <Refused error={found.error} again={found.again} />
      {!found.value && !found.error && <p className="faint" aria-busy="true">Checking disk, clock, address, backups: this takes some seconds…</p>}
      {found.value && (
        <>
          <p role="status">{bad === 0 ? "Nothing is wrong." : bad === 1 ? "One thing wants somebody to look at it." : `${bad} things want somebody to look at them.`}</p>
          <Table label="Checks" rows={[...found.value].sort((a, b) => rank(a) - rank(b))} rowKey={(one) => one.check + one.text} columns={[
            { head: "State", cell: (one) => <span className={one.level === "ok" ? "" : "bad"}>{one.level}</span> },
            { head: "Check", cell: (one) => one.check },
            { head: "What it is, and what to do", cell: (one) => <span className="side wide">{one.text}</span> },
          ]} />
        </>
      )}
      <p className="faint">The same on the hub’s machine, also where no hub runs: <code>ferry doctor</code></p>
    </>
  );
}

/** What is worst stands first. */
const rank = ({ level }: Check): number => ["fail", "warn", "ok"].indexOf(level);
