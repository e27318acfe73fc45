/** Brings what the hub says into the tables, by the rule of REC-01 (REC-64), each page in one transaction. */
import { type Outgoing, type Refused, type State, type Store } from "./store.ts";
import type { Conflict, Page, PushAnswer, Resync } from "./wire.ts";
import { type Held } from "./working-set.ts";
/** What the application wants to hear of. */
export type Report = {
    held: Held[];
    refused: Refused[];
    conflicts: Conflict[];
};
/**
 * Stores a page and its cursor. The page that ends a resync also ends what the hub does not have.
 * @param asked The state when it was asked for.
 * @param owner Whose records the hub says these are.
 */
export declare function applyPage(store: Store, page: Page, asked: State, owner: string | null): Promise<Report>;
/** Stores the answer to a push of `device`. */
export declare function applyAnswer(store: Store, sent: Outgoing[], answer: PushAnswer, device: string): Promise<Report>;
/** Begins to take the hub's whole state. */
export declare function beginResync(store: Store, { reason, epoch }: Resync, asked: State): Promise<void>;
export declare function restart(state: State, reason: Resync["reason"], epoch?: string): void;
/** Puts all rows away from their tables, or back into them (REC-65). */
export declare function park(store: Store, state: State, away: boolean): Promise<void>;
/** Forgets everything that is known of the hub, and the rows too unless they are to be kept. */
export declare function forgetAll(store: Store, state: State, keepRows: boolean): Promise<void>;
