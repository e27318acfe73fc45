/**
 * What Ferry keeps in the application's own IndexedDB database, beside its tables. One database, so that a write
 * and its outbox row share a transaction.
 */
import { MAX_AHEAD_US, instant, microseconds } from "./clock.js";
import { hex } from "./blake3.js";
export const META = "_ferry_meta";
export const OUTBOX = "_ferry_outbox";
export const REFUSED = "_ferry_refused";
export const STATE = "_ferry_state";
export const OWN_TABLES = [META, OUTBOX, STATE];
/** The field that says whether a record is deleted. */
export const DELETED = "deletedAt";
/** The schema of Ferry's own tables. */
export const SCHEMA = { [META]: "k", [OUTBOX]: "++n", [REFUSED]: "++n", [STATE]: "k" };
export const keyOf = (table, id) => `${table}/${id}`;
/** The row without its key. `deletedAt` belongs to Ferry. */
export function valuesOf(row, keyPath) {
    const values = { ...row };
    delete values[keyPath];
    delete values[DELETED];
    return values;
}
/** The state of a device that has never met the hub. */
export function newState() {
    // `randomUUID` is missing where a page comes over plain HTTP.
    const device = hex(crypto.getRandomValues(new Uint8Array(16)));
    return { k: "state", device, us: 0, skewMs: 0, cursor: "0", seq: 0, pass: 1, resync: "horizon", tables: [] };
}
/** The next time for a write. The caller stores `state` in the same transaction. */
export function tick(state, nowMs) {
    state.us = Math.max((nowMs - state.skewMs) * 1000, state.us + 1);
    return instant(state.us, state.device);
}
/** Never give out a time before one that has been seen. */
export function observe(state, at) {
    state.us = Math.max(state.us, microseconds(at));
}
/**
 * Corrects the clock by the hub's. What was written by a clock that was far ahead keeps its time, since the hub may
 * have it already: the hub chooses another one (REC-04) and says so in its answer.
 */
export function correctClock(state, nowMs, hubs) {
    const hubUs = microseconds(hubs);
    const skewMs = Math.round(nowMs - hubUs / 1000);
    state.skewMs = Math.abs(skewMs) * 1000 > MAX_AHEAD_US ? skewMs : 0;
    if (state.us - hubUs > MAX_AHEAD_US)
        state.us = hubUs;
}
export const recordOf = (key) => {
    const [table, ...id] = key.split("/");
    return { table: table, id: id.join("/") };
};
/** The database with everything that the parts of the client share. */
export class Store {
    constructor(db, tables, now, 
    /** Called when a transaction with captured writes has been committed. Added twice, it is called once. */
    onCaptured, types = {}) {
        this.db = db;
        this.tables = tables;
        this.now = now;
        this.onCaptured = onCaptured;
        this.types = types;
        /** Transactions that apply what the hub sent: their writes are not captured. */
        this.applying = new WeakSet();
    }
    state() {
        return this.db.table(STATE).get("state");
    }
    pending() {
        return this.db.table(OUTBOX).count();
    }
    /** Runs `work` in one transaction over all tables, with the state, which is stored again at its end. */
    write(work) {
        return this.db.transaction("rw", [...this.tables, META, OUTBOX, REFUSED, STATE], async (tx) => {
            this.applying.add(tx.idbtrans);
            const state = await this.state();
            const result = await work(state);
            await this.db.table(STATE).put(state);
            return result;
        });
    }
}
