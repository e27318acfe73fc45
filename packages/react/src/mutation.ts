import type { ArgsOf, CallParameters, FerryError, MutateOptions, MutationName, OptimisticCache, RegisteredApi, ResultOf } from "@ferry/client/functions";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useFerry } from "./provider.ts";

type Api = RegisteredApi;

/** What {@link useMutation} may be given. */
export interface MutationOptions<Name extends MutationName> {
  /**
   * Says what the mutation will do to results that are shown:
   * `(cache, { title }) => cache.update("listTodos", {}, (todos) => [...todos, { id: -1, title }])`. It is undone if the
   * mutation fails, and gives way to the hub's own result.
   */
  optimistic?: (cache: OptimisticCache<Api>, args: Exclude<ArgsOf<Api, Name>, undefined>) => void;
  /** Each call gets an idempotency key, so that it is tried again when its answer is lost. Not for actions. */
  retry?: boolean;
}

/** What {@link useMutation} gives: a function that calls, with the state of its calls. */
export interface Mutation<Name extends MutationName> {
  /** Calls the function. */
  (...args: CallParameters<ArgsOf<Api, Name>, [options?: Omit<MutateOptions<Api>, "optimistic">]>): Promise<ResultOf<Api, Name>>;
  /** A call is on its way. */
  readonly isPending: boolean;
  /** Why the last call failed; undefined as soon as there is another one. */
  readonly error: FerryError | undefined;
}

/**
 * A function that writes.
 *
 * ```tsx
 * const addTodo = useMutation("addTodo", { optimistic: (cache, { title }) => … });
 * <button disabled={addTodo.isPending} onClick={() => addTodo({ title })}>Add</button>
 * ```
 */
export function useMutation<Name extends MutationName>(fn: Name, options: MutationOptions<Name> = {}): Mutation<Name> {
  const client = useFerry();
  const [state, setState] = useState<{ pending: number; error: FerryError | undefined }>({ pending: 0, error: undefined });
  // The newest options, without a new function for each rendering.
  const newest = useRef(options);
  useEffect(() => void (newest.current = options));
  const call = useCallback(async (args?: unknown, more?: MutateOptions<Api>) => {
    const { optimistic, retry } = newest.current;
    const all: MutateOptions<Api> = { ...(retry && { idempotencyKey: true }), ...more };
    if (optimistic) all.optimistic = (cache) => optimistic(cache, (args ?? {}) as Exclude<ArgsOf<Api, Name>, undefined>);
    setState(({ pending }) => ({ pending: pending + 1, error: undefined }));
    let error: FerryError | undefined;
    try {
      return await client.mutate(fn, args as never, all as never);
    } catch (thrown) {
      error = thrown as FerryError;
      throw thrown;
    } finally {
      setState((before) => ({ pending: before.pending - 1, error: error ?? before.error }));
    }
  }, [client, fn]);
  return useMemo(
    () => Object.assign((...args: []) => call(...args), { isPending: state.pending > 0, error: state.error }) as unknown as Mutation<Name>,
    [call, state],
  );
}
