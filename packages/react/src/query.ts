import type { ArgsOf, CallParameters, Observed, QueryName, QueryResult, RegisteredApi, ResultOf } from "@ferry/client/functions";
import { useMemo, useSyncExternalStore } from "react";
import { useFerry } from "./provider.ts";

/** What {@link useQuery} may be given. */
export interface UseQueryOptions {
  /** Suspends until there is a result, and throws the error if there is none, to the nearest error boundary. */
  suspense?: boolean;
}

/** A result that is there: what {@link useQuery} gives with `suspense`. */
export type LoadedResult<T> = QueryResult<T> & { readonly data: T; readonly isLoading: false };

type Api = RegisteredApi;
type Result<Name extends QueryName> = ResultOf<Api, Name>;

const SKIPPED: Observed<never> = {
  get: () => SKIPPED_RESULT,
  subscribe: () => () => {},
  ready: () => Promise.resolve(),
};
const SKIPPED_RESULT: QueryResult<never> = { data: undefined, error: undefined, isLoading: false, isStale: false };

/**
 * A query's result, kept fresh as long as the component is there. Components that show the same query share one subscription.
 * `"skip"` in place of the arguments asks for nothing.
 *
 * ```tsx
 * const { data: todos, error, isLoading, isStale } = useQuery("listTodos", { list });
 * ```
 */
export function useQuery<Name extends QueryName>(fn: Name, args: ArgsOf<Api, Name>, options: UseQueryOptions & { suspense: true }): LoadedResult<Result<Name>>;
export function useQuery<Name extends QueryName>(
  fn: Name, ...args: CallParameters<ArgsOf<Api, Name> | "skip", [options?: UseQueryOptions]>
): QueryResult<Result<Name>>;
export function useQuery(fn: string, args: unknown = {}, { suspense = false }: UseQueryOptions = {}): QueryResult {
  const client = useFerry();
  const name = args === "skip" ? undefined : `${fn} ${JSON.stringify(args)}`;
  // The same store as long as the query is the same: React would subscribe anew otherwise.
  const store: Observed<unknown> = useMemo(
    () => (name === undefined ? SKIPPED : client.observe(fn as never, args as never)),
    [client, name],
  );
  const result = useSyncExternalStore(store.subscribe, store.get, store.get);
  if (suspense) {
    if (result.isLoading) throw store.ready();
    if (result.error && result.data === undefined) throw result.error;
  }
  return result;
}
