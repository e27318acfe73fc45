import { get, type Database } from "../api.ts";
import { useLoad } from "../ui/load.ts";
import { Empty, Refused, Table, Time } from "../ui/parts.tsx";
import { bytes, number } from "../ui/words.ts";
import { LIVE_MS } from "./databases.tsx";

type Store = {
  storeId: string; head: number; count?: number; bytes?: number; state: string; holdReason?: string | null; subscribers?: number;
  lagging?: number; lastPushAt?: string | null;
};
type Trouble = { firstEvent: { seqNum: number; name: string } | null; code: string; message: string; tries: number };
type Client = { store: string; clientId: string; lastPushAt: string; lastResult: string; blocked: Trouble | null };
type Turned = { store: string; who: string; lastTryAt: string; refused: Trouble };

const unix = (text: string | null | undefined): number => (text ? Date.parse(text) / 1000 : 0);

export function EventsTab({ database }: { database: Database }) {
  const path = `/v1/databases/${database.id}/events`;
  const stores = useLoad(path, (signal) => get<{ stores: Store[] }>(`${path}/stores`, signal), LIVE_MS);
  const clients = useLoad(path, (signal) => get<{ clients: Client[]; refused: Turned[] }>(`${path}/clients`, signal), LIVE_MS);
  return (
    <>
      <h2>Stores</h2>
      <Refused error={stores.error} again={stores.again} />
      {stores.value?.stores.length === 0 && <Empty command={`ferry events append ${database.name} noteAdded '{"text":"hello"}' --store my-store`}>No store yet: the first push makes one. From here:</Empty>}
      {!!stores.value?.stores.length && (
        <Table label="Stores" rows={stores.value.stores} rowKey={(one) => one.storeId} columns={[
          { head: "Store", cell: (one) => one.storeId },
          { head: "State", cell: (one) => one.state === "ok" ? "ok" : <span className="bad">{one.state}{one.holdReason && `: ${one.holdReason}`}</span> },
          { head: "Head", number: true, cell: (one) => number(one.head) },
          { head: "Events", number: true, cell: (one) => number(one.count) },
          { head: "Size", number: true, cell: (one) => bytes(one.bytes) },
          { head: "Subscribers", number: true, cell: (one) => number(one.subscribers) },
          { head: "Lagging", number: true, cell: (one) => number(one.lagging) },
          { head: "Last push", number: true, cell: (one) => <Time unix={unix(one.lastPushAt)} /> },
        ]} />
      )}
      <h2>Clients since the hub started</h2>
      <Refused error={clients.error} again={clients.again} />
      {clients.value?.clients.length === 0 && <Empty>No client has pushed since then.</Empty>}
      {!!clients.value?.clients.length && (
        <Table label="Clients" rows={clients.value.clients} rowKey={(one) => `${one.store} ${one.clientId}`} columns={[
          { head: "Client", cell: (one) => one.clientId },
          { head: "Store", cell: (one) => one.store },
          { head: "Last push", number: true, cell: (one) => <Time unix={unix(one.lastPushAt)} /> },
          { head: "Result", cell: (one) => one.lastResult },
          { head: "Stuck with", cell: (one) => one.blocked && <Stuck trouble={one.blocked} /> },
        ]} />
      )}
      {!!clients.value?.refused.length && (
        <>
          <h2>Connections not let in</h2>
          <Table label="Connections not let in" rows={clients.value.refused} rowKey={(one) => `${one.store} ${one.who}`} columns={[
            { head: "Who", cell: (one) => one.who },
            { head: "Store", cell: (one) => one.store },
            { head: "Last try", number: true, cell: (one) => <Time unix={unix(one.lastTryAt)} /> },
            { head: "Why", cell: (one) => <Stuck trouble={one.refused} /> },
          ]} />
        </>
      )}
    </>
  );
}

function Stuck({ trouble }: { trouble: Trouble }) {
  const first = trouble.firstEvent;
  return (
    <span className="bad">
      {first && `event ${first.seqNum} ${first.name}: `}{trouble.code}: {trouble.message} ({trouble.tries} {trouble.tries === 1 ? "try" : "tries"})
    </span>
  );
}
