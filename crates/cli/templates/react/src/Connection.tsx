import { useStatus } from "@ferry/react";
import { useSyncStatus } from "./records";

/** Both connections in a few words: that of the list, and that of the live queries. */
export function Connection() {
  const records = useSyncStatus();
  const functions = useStatus();
  const waiting = records.pending > 0 ? ` · ${records.pending} to send` : "";

  return (
    <output className="connection" data-state={worst(records.state, functions.state)} title={records.message ?? functions.message}>
      {WORDS[worst(records.state, functions.state)] + waiting}
    </output>
  );
}

const WORDS = { error: "Cannot sync", offline: "Offline", connecting: "Connecting", live: "Up to date" };

function worst(...states: string[]): keyof typeof WORDS {
  if (states.includes("error") || states.includes("paused")) return "error";
  if (states.includes("offline")) return "offline";
  return states.every((state) => state === "live") ? "live" : "connecting";
}
