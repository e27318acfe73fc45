/** The public face: attach a Dexie database to a hub. */
import { forgetAll, park, restart } from "./apply.js";
import { attach, prepare } from "./attach.js";
import { Http } from "./http.js";
import { Link } from "./link.js";
import { StatusStore } from "./status.js";
import { OUTBOX, REFUSED, Store } from "./store.js";
import { lead } from "./tabs.js";
const POLL_MS = 15_000;
/** How long `logout` waits for what is to be sent. */
const LOGOUT_MS = 10_000;
const LOGOUT_STEP_MS = 50;
/**
 * Keeps the tables of a Dexie database in sync with a hub. Call it after `db.version(…).stores(…)` and before the
 * database is used; then use Dexie as ever.
 */
export function ferryRecords(db, options) {
    return new FerryRecords(db, options);
}
export class FerryRecords {
    #store;
    #options;
    #channel;
    #end;
    #name;
    #link;
    #trouble;
    #started;
    constructor(db, options) {
        /** The state of syncing. */
        this.status = new StatusStore();
        this.#end = new AbortController();
        this.#trouble = { state: "syncing" };
        this.#started = false;
        this.#options = options;
        const tables = options.tables ?? db.tables.map(({ name }) => name).filter((name) => !name.startsWith("_ferry_"));
        const onCaptured = () => {
            void this.#refresh().catch(() => { });
            this.#askLeader({ type: "kick" });
        };
        this.#store = new Store(db, tables, options.now ?? Date.now, onCaptured, options.types);
        attach(this.#store);
        this.#name = `ferry:${db.name}:${options.app}`;
        this.#channel = new BroadcastChannel(this.#name);
        this.#channel.onmessage = ({ data }) => this.#receive(data);
        // Node would not exit while the channel is open.
        this.#channel.unref?.();
        this.initialSync = new Promise((resolve) => {
            this.status.subscribe(({ ready }) => ready && resolve());
        });
        db.on("ready", async (opened) => {
            const held = await prepare(this.#store, opened);
            this.#report({ held, refused: [], conflicts: [] });
            queueMicrotask(() => void this.#start());
        }, true);
        if (!db.isOpen())
            db.open().catch((error) => this.#fail(error));
    }
    /** Tries at once, instead of when it is time. */
    syncNow() {
        this.#askLeader({ type: "wake" });
    }
    /** The writes that the hub has refused. The rows still show them. */
    rejected() {
        return this.#store.db.table(REFUSED).toArray();
    }
    /**
     * Says what is to become of the rows of this device when another user is logged in (`OWNER_CHANGED`): they become
     * theirs, or are deleted here, together with what was never sent.
     */
    async switchOwner(rows) {
        await this.#store.write((state) => forgetAll(this.#store, state, rows === "keep"));
        const held = await prepare(this.#store, this.#store.db);
        this.#report({ held, refused: [], conflicts: [] });
        this.#askLeader({ type: "switch" });
        await this.#refresh();
    }
    /**
     * Sends what waits, then ends syncing in all tabs until the page is loaded again. The rows are deleted from this
     * device, or put away until the same user is back.
     * @throws Error when something could not be sent; then nothing has changed.
     */
    async logout(rows = "discard") {
        this.syncNow();
        for (let ms = 0; ms < LOGOUT_MS && (await this.#store.pending()); ms += LOGOUT_STEP_MS) {
            await new Promise((resolve) => setTimeout(resolve, LOGOUT_STEP_MS));
        }
        await this.#store.write(async (state) => {
            const waiting = await this.#store.pending();
            if (waiting)
                throw new Error(`ferry: ${waiting} writes are not sent; log out when the hub answers, or drop them: switchOwner("discard")`);
            await (rows === "keep" ? park(this.#store, state, true) : forgetAll(this.#store, state, false));
        });
        this.#broadcast({ type: "logout" });
        this.#logout();
    }
    /** Sends a refused write again: after the user has been given the right, say. */
    async retry(n) {
        await this.#takeRefused(n, ({ table, id, op, fields }, { cursor }) => this.#store.db.table(OUTBOX).add({ table, id, op, fields, seen: cursor }));
        this.#store.onCaptured();
    }
    /** Gives a refused write up: the hub's state takes its place. */
    async discard(n) {
        await this.#takeRefused(n, async (_, state) => restart(state, "horizon"));
        this.#askLeader({ type: "restart" });
    }
    #takeRefused(n, work) {
        return this.#store.write(async (state) => {
            const row = await this.#store.db.table(REFUSED).get(n);
            if (!row)
                throw new Error(`ferry: no refused write has number ${n}; see rejected()`);
            await this.#store.db.table(REFUSED).delete(n);
            await work(row, state);
        });
    }
    /** Ends syncing; the database stays open. */
    close() {
        this.#end.abort();
        this.#channel.close();
    }
    #logout() {
        this.close();
        this.status.set({ ...this.status.get(), state: "paused", reason: "logged_out", pending: 0 });
    }
    async #start() {
        if (this.#started || this.#end.signal.aborted)
            return;
        this.#started = true;
        try {
            await this.#refresh();
            const { signal } = this.#end;
            globalThis.addEventListener?.("online", () => this.#link?.wake(), { signal });
            globalThis.addEventListener?.("offline", () => this.#link?.restart(), { signal });
            this.#broadcast({ type: "hello" });
            await lead(this.#name, signal, () => this.#lead());
            this.#started = false;
        }
        catch (error) {
            this.#fail(error);
        }
    }
    async #lead() {
        const { url, app, key, database = "-", getToken = () => null, pollMs = POLL_MS, fetch = (input, init) => globalThis.fetch(input, init) } = this.#options;
        const path = `/v1/databases/${encodeURIComponent(database)}/records`;
        const report = async (report) => {
            await this.#refresh();
            if (!Object.values(report).some(({ length }) => length))
                return;
            this.#report(report);
            this.#broadcast({ type: "report", report });
        };
        const http = new Http(url.replace(/\/+$/, "") + path, getToken, fetch, key);
        this.#link = new Link({ store: this.#store, http, app, report }, pollMs, (trouble) => {
            this.#trouble = trouble;
            void this.#refresh().catch(() => { });
        });
        await this.#link.run(this.#end.signal);
        this.#link = undefined;
    }
    /** Asks the leader, which may be this tab. */
    #askLeader(message) {
        // In a task of its own, as for the other tabs: the caller may be about to begin a transaction, and Dexie would lose it.
        if (this.#link)
            setTimeout(() => this.#receive(message));
        else
            this.#broadcast(message);
    }
    #broadcast(message) {
        if (!this.#end.signal.aborted)
            this.#channel.postMessage(message);
    }
    #receive(message) {
        const link = this.#link;
        if (message.type === "report")
            return this.#report(message.report);
        if (message.type === "status")
            return void (link || this.status.set(message.status));
        if (message.type === "logout")
            return this.#logout();
        if (!link)
            return;
        if (message.type === "hello")
            return this.#broadcast({ type: "status", status: this.status.get() });
        // A tab of a newer version may say what this one does not know.
        link[message.type]?.();
        void this.#refresh().catch(() => { });
    }
    /** Reads the counts, and tells the other tabs if this one leads. */
    async #refresh() {
        const [pending, state] = await Promise.all([this.#store.pending(), this.#store.state()]);
        const ready = state.pass > 1 || !state.resync;
        const connection = this.#link || !this.#started ? this.#trouble : this.status.get();
        const changed = this.status.set({ ...connection, pending, seq: state.seq, ready });
        if (changed && this.#link)
            this.#broadcast({ type: "status", status: this.status.get() });
    }
    #report({ held, refused, conflicts }) {
        const { onConflict, onRejected, onError } = this.#options;
        for (const conflict of conflicts)
            onConflict?.(conflict);
        for (const row of refused)
            onRejected?.(row);
        for (const { error, ...record } of held)
            onError?.(error, record);
    }
    #fail(error) {
        if (this.#end.signal.aborted)
            return;
        const { message } = error;
        this.status.set({ ...this.status.get(), state: "error", reason: "local", message });
        this.#options.onError?.(error);
    }
}
