/** One socket to the hub, opened again whenever it is lost. It knows frames, not what they mean. */
import { type Http } from "./http.ts";
import type { Status } from "./status.ts";
import type { Tokens } from "./tokens.ts";
/** What the hub says (functions' wire). */
export type Frame = {
    type: "auth";
    ok: boolean;
    exp?: number;
    error?: string;
} | {
    type: "result";
    id: string;
    seq: number;
    hash: string;
    same?: true;
    data?: unknown;
} | {
    type: "stale";
    id: string;
    seq: number;
} | {
    type: "error";
    id?: string;
    status: number;
    code: string;
    error: string;
} | {
    type: "deployed";
    deployment: string;
};
export type Wire = {
    http: Http;
    tokens: Tokens;
    /** Of `/ws`, below the base. */
    path: string;
    /** Of `/ws`, whole. */
    url: string;
    WebSocket: typeof WebSocket | undefined;
};
export type Owner = {
    opened(connection: Connection): void;
    received(connection: Connection, frame: Frame): void;
    /** The state is another one. */
    changed(connection: Connection): void;
    /** HTTP gets through and the socket does not. */
    blocked(connection: Connection): void;
    /** The hub has ended it in favour of a newer one of the page. */
    crowded(connection: Connection): void;
};
export declare class Connection {
    #private;
    private readonly wire;
    private readonly owner;
    /** Names of the subscriptions that it keeps. */
    readonly subscriptions: Set<string>;
    /** How many the hub takes. */
    capacity: number;
    status: Status;
    constructor(wire: Wire, owner: Owner);
    get isOpen(): boolean;
    send(frame: object): void;
    /** The user has a new token. */
    authenticate(token: string): void;
    /** Something says that the network is another one, or the page is looked at again. */
    wake(): void;
    /** Opens a socket in place of the one that is there. */
    restart(): void;
    close(): void;
}
