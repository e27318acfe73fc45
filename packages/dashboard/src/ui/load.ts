/** What a page reads of the hub, and reads again. */

import { useCallback, useEffect, useState } from "react";
import type { Refusal } from "../api.ts";

export type Loaded<T> = { value: T | undefined; error: Refusal | undefined; again: () => void };

/** Reads at once, when `key` changes, by `again`, and every `everyMs` while the page is seen. What was read stays until then. */
export function useLoad<T>(key: string, read: (signal: AbortSignal) => Promise<T>, everyMs = 0): Loaded<T> {
  const [state, setState] = useState<{ key: string; value?: T; error?: Refusal }>({ key });
  const [round, setRound] = useState(0);
  const again = useCallback(() => setRound((round) => round + 1), []);
  useEffect(() => {
    const stop = new AbortController();
    read(stop.signal).then(
      (value) => stop.signal.aborted || setState({ key, value }),
      (error: Refusal) =>
        stop.signal.aborted || setState((old) => (old.key === key ? { ...old, error } : { key, error })),
    );
    return () => stop.abort();
    // `key` names what `read` reads.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key, round]);
  useEffect(() => {
    if (everyMs === 0) return;
    const timer = setInterval(() => document.visibilityState === "visible" && again(), everyMs);
    return () => clearInterval(timer);
  }, [everyMs, again]);
  const current = state.key === key;
  return { value: current ? state.value : undefined, error: current ? state.error : undefined, again };
}

/** An action of a form: one at a time, and why the hub refused it. */
export function useAction(): {
  busy: boolean; error: Refusal | undefined; run: (action: () => Promise<void>) => Promise<void>;
} {
  const [state, setState] = useState<{ busy: boolean; error?: Refusal }>({ busy: false });
  const run = async (action: () => Promise<void>) => {
    setState({ busy: true });
    try {
      await action();
      setState({ busy: false });
    } catch (error) {
      setState({ busy: false, error: error as Refusal });
    }
  };
  return { busy: state.busy, error: state.error, run };
}
