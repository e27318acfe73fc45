import { useState } from "react";
import { operatorRpc } from "../operator.ts";
import { useLoad } from "../ui/load.ts";
import { Refused, Table } from "../ui/parts.tsx";

type Setting = { key: string; value?: string; source: string; help?: string };

/** What the hub was started with, and where each was said. */
export function Settings() {
  const list = useLoad("settings", (signal) => operatorRpc<{ settings?: Setting[] }>("GetSettings", {}, signal));
  const [filter, setFilter] = useState("");
  const [onlySet, setOnlySet] = useState(false);
  const wanted = filter.toLowerCase();
  const shown = list.value?.settings?.filter((one) =>
    (!onlySet || one.source !== "default") && [one.key, one.value, one.source, one.help].some((text) => text?.toLowerCase().includes(wanted)));
  return (
    <>
      <p className="faint">They are read when the hub is started: change them in the configuration file, by a flag or a variable, and start it again.</p>
      <div className="line">
        <input type="search" data-filter aria-label="Filter" placeholder="Filter" value={filter} onChange={(event) => setFilter(event.target.value)} />
        <label><input type="checkbox" checked={onlySet} onChange={(event) => setOnlySet(event.target.checked)} />Only what was said</label>
      </div>
      <Refused error={list.error} again={list.again} />
      {!list.value && !list.error && <p className="faint" aria-busy="true">Asking the hub…</p>}
      {shown?.length === 0 && <p className="faint">No setting is like this.</p>}
      {!!shown?.length && (
        <Table label="Settings" rows={shown} rowKey={(one) => one.key} columns={[
          { head: "Setting", cell: (one) => <code>{one.key}</code> },
          { head: "Value", cell: (one) => one.value ? <code className={one.source === "default" ? "clip faint" : "clip"} title={one.value}>{one.value}</code> : <span className="faint">unset</span> },
          { head: "From", cell: (one) => <span className={one.source === "default" ? "faint" : ""}>{one.source}</span> },
          { head: "What it does", cell: (one) => <span className="side wide">{one.help}</span> },
        ]} />
      )}
    </>
  );
}
