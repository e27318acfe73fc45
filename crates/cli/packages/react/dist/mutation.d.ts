import type { ArgsOf, CallParameters, FerryError, MutateOptions, MutationName, OptimisticCache, RegisteredApi, ResultOf } from "@ferry/client/functions";
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
export declare function useMutation<Name extends MutationName>(fn: Name, options?: MutationOptions<Name>): Mutation<Name>;
export {};
