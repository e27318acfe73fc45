import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useFerry } from "./provider.js";
/**
 * A function that writes.
 *
 * ```tsx
 * const addTodo = useMutation("addTodo", { optimistic: (cache, { title }) => … });
 * <button disabled={addTodo.isPending} onClick={() => addTodo({ title })}>Add</button>
 * ```
 */
export function useMutation(fn, options = {}) {
    const client = useFerry();
    const [state, setState] = useState({ pending: 0, error: undefined });
    // The newest options, without a new function for each rendering.
    const newest = useRef(options);
    useEffect(() => void (newest.current = options));
    const call = useCallback(async (args, more) => {
        const { optimistic, retry } = newest.current;
        const all = { ...(retry && { idempotencyKey: true }), ...more };
        if (optimistic)
            all.optimistic = (cache) => optimistic(cache, (args ?? {}));
        setState(({ pending }) => ({ pending: pending + 1, error: undefined }));
        let error;
        try {
            return await client.mutate(fn, args, all);
        }
        catch (thrown) {
            error = thrown;
            throw thrown;
        }
        finally {
            setState((before) => ({ pending: before.pending - 1, error: error ?? before.error }));
        }
    }, [client, fn]);
    return useMemo(() => Object.assign((...args) => call(...args), { isPending: state.pending > 0, error: state.error }), [call, state]);
}
