/** The client of a hub's functions. */
import type { GetToken } from "../http.ts";
import { type QueryResult } from "./live.ts";
import { StatusStore } from "./status.ts";
import type { ArgsOf, CallParameters, MutationName, QueryName, RegisteredApi, ResultOf } from "./types.ts";
/** What {@link createClient} takes. */
export interface ClientOptions {
    /** Where the hub is: `https://hub.example.com`. A path is kept, so a database may be named in it. */
    url: string;
    /** A publishable API key of the database (`fy_pk_…`). */
    key?: string;
    /** Id or name of the hub's database; default: the key's. */
    database?: string;
    /** The user's token; called again with one that the hub has refused or that expires soon. The same one as of `ferryRecords`. */
    getToken?: GetToken;
    /**
     * Names the user of a token. Without it a JWT's `sub` does, else its claims; of another kind of token (a sync token) each is
     * taken for another user's, so that results are dropped and loaded anew with each.
     */
    userOf?: (token: string) => string;
    /** How long a call may take, with all its retries, milliseconds; default 30,000. */
    timeoutMs?: number;
    /** What a function warns of (`Query limit of 5000 overridden to 1000.`); default: `console.warn`. */
    onWarning?: (warning: string, fn: string) => void;
    /** In place of the global `fetch`. */
    fetch?: typeof fetch;
    /** In place of the global `WebSocket`; Node has one since version 22. */
    WebSocket?: typeof WebSocket;
}
/** What a read may be given. */
export interface QueryOptions {
    /** Ends the call. */
    signal?: AbortSignal;
}
/** What a mutation may be given. */
export interface MutateOptions<Api = RegisteredApi> extends QueryOptions {
    /**
     * With a key the call is tried again when its answer is lost, and the hub does it once (for 24 hours); `true` makes one.
     * Actions take none. Without it a call is sent once.
     */
    idempotencyKey?: string | true;
    /**
     * Says what the mutation will do to results that are shown. They show it at once, until the hub's own result does, and
     * again as before if the mutation fails.
     */
    optimistic?: (cache: OptimisticCache<Api>) => void;
}
/** The results that are shown, for optimistic updates. */
export interface OptimisticCache<Api = RegisteredApi> {
    /** The result that is shown now. */
    get<Name extends QueryName<Api>>(fn: Name, args: ArgsOf<Api, Name>): ResultOf<Api, Name> | undefined;
    /**
     * Lays a change over a result. `change` returns a new value and leaves `data` as it is; it runs again over each newer result
     * that comes before the mutation's. A result that nobody shows has nothing to change.
     */
    update<Name extends QueryName<Api>>(fn: Name, args: ArgsOf<Api, Name>, change: (data: ResultOf<Api, Name>) => ResultOf<Api, Name>): void;
}
/** One query's result as a store, for user interfaces. */
export interface Observed<T> {
    /** What is known now; the same object until something changes. */
    get: () => QueryResult<T>;
    /** Keeps the result fresh and calls at each change, until what it returns is called. */
    subscribe: (listener: () => void) => () => void;
    /** Asks for the result, and is fulfilled once there is one or an error. */
    ready: () => Promise<void>;
}
/** The client of one database's functions, made by {@link createClient}. */
export declare class FerryClient<Api = RegisteredApi> {
    #private;
    /** Whether live results are fresh. */
    readonly status: StatusStore;
    /** @internal */
    constructor(options: ClientOptions);
    /** Calls a function that reads, once. It is tried again when the hub cannot be reached. */
    query<Name extends QueryName<Api>>(fn: Name, ...[args, options]: CallParameters<ArgsOf<Api, Name>, [options?: QueryOptions]>): Promise<ResultOf<Api, Name>>;
    /** Calls a function that writes. */
    mutate<Name extends MutationName<Api>>(fn: Name, ...[args, options]: CallParameters<ArgsOf<Api, Name>, [options?: MutateOptions<Api>]>): Promise<ResultOf<Api, Name>>;
    /**
     * Shows a query's result: calls `listener` at once and at each change, until what is returned is called. All who show the
     * same query share one subscription.
     */
    subscribe<Name extends QueryName<Api>>(fn: Name, args: ArgsOf<Api, Name>, listener: (result: QueryResult<ResultOf<Api, Name>>) => void): () => void;
    /** A query's result as a store. */
    observe<Name extends QueryName<Api>>(fn: Name, args: ArgsOf<Api, Name>): Observed<ResultOf<Api, Name>>;
    /**
     * Asks `getToken` at once: call it after a login or a logout. What another user was shown is dropped.
     * @throws FerryError when `getToken` fails.
     */
    refreshToken(): Promise<void>;
    /** Ends all subscriptions. */
    close(): void;
}
/** A client of a database's functions; one per page is enough. It connects when something is subscribed to. */
export declare function createClient<Api = RegisteredApi>(options: ClientOptions): FerryClient<Api>;
