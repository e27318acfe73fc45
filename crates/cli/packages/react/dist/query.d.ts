import type { ArgsOf, CallParameters, QueryName, QueryResult, RegisteredApi, ResultOf } from "@ferry/client/functions";
/** What {@link useQuery} may be given. */
export interface UseQueryOptions {
    /** Suspends until there is a result, and throws the error if there is none, to the nearest error boundary. */
    suspense?: boolean;
}
/** A result that is there: what {@link useQuery} gives with `suspense`. */
export type LoadedResult<T> = QueryResult<T> & {
    readonly data: T;
    readonly isLoading: false;
};
type Api = RegisteredApi;
type Result<Name extends QueryName> = ResultOf<Api, Name>;
/**
 * A query's result, kept fresh as long as the component is there. Components that show the same query share one subscription.
 * `"skip"` in place of the arguments asks for nothing.
 *
 * ```tsx
 * const { data: todos, error, isLoading, isStale } = useQuery("listTodos", { list });
 * ```
 */
export declare function useQuery<Name extends QueryName>(fn: Name, args: ArgsOf<Api, Name>, options: UseQueryOptions & {
    suspense: true;
}): LoadedResult<Result<Name>>;
export declare function useQuery<Name extends QueryName>(fn: Name, ...args: CallParameters<ArgsOf<Api, Name> | "skip", [options?: UseQueryOptions]>): QueryResult<Result<Name>>;
export {};
