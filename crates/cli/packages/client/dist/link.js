/** The leader's connection to the hub: one loop that pulls, one that pushes. */
import { park } from "./apply.js";
import { OWNER_CHANGED } from "./http.js";
import { catchUp, follow } from "./pull.js";
import { pushBatch } from "./push.js";
import { LONG_MS, Mutex, Notify, backoffMs } from "./wait.js";
/** How long to wait after the hub has asked for payment. */
const PAYMENT_MS = 5 * 60_000;
/** Without a stream: how often to try for one again. */
const POLLS_PER_STREAM = 20;
export class Link {
    /** Held by a push or a resync. */
    #mutex = new Mutex();
    #pullNotify = new Notify();
    #pushNotify = new Notify();
    #retryNotify = new Notify();
    #pullState = { state: "syncing" };
    #pushTrouble;
    #pullFailures = 0;
    #restart = new AbortController();
    constructor(context, pollMs, 
    /** The state of the connection has changed. */
    onState) {
        this.context = context;
        this.pollMs = pollMs;
        this.onState = onState;
    }
    /** Runs until `signal`, or until the database is closed. */
    async run(signal) {
        const stop = new AbortController();
        const both = AbortSignal.any([signal, stop.signal]);
        await Promise.race([this.#pull(both), this.#push(both)]);
        stop.abort();
    }
    /** There is something to push. */
    kick() {
        this.#pushNotify.notify();
    }
    /** The network is back, or the user wants it now. */
    wake() {
        this.#pullNotify.notify();
        this.#pushNotify.notify();
        this.#retryNotify.notify();
    }
    /** Ends the stream, so that the pull begins anew. */
    restart() {
        this.#restart.abort();
        this.wake();
    }
    /** Another user may be logged in. */
    switch() {
        this.context.http.forgetToken();
        this.restart();
    }
    /** One step of the push loop. Returns whether there is reason to go on. */
    async push(signal) {
        const outcome = await this.#mutex.run(() => pushBatch(this.context, signal));
        if (outcome === "resync")
            this.restart();
        return outcome === "more";
    }
    /** If a resync is due: the whole of it, while nothing is pushed. */
    async resync(signal) {
        while ((await this.context.store.state()).resync) {
            this.#show({ state: "syncing" });
            await this.#mutex.run(() => catchUp(this.context, signal));
            this.kick();
        }
    }
    async #pull(signal) {
        let streams = true;
        while (!signal.aborted) {
            this.#restart = new AbortController();
            const both = AbortSignal.any([signal, this.#restart.signal]);
            try {
                await this.resync(both);
                if (streams) {
                    streams = await follow(this.context, both, () => this.#live());
                    if (streams)
                        await this.#pullNotify.wait(backoffMs(this.#pullFailures++), signal);
                }
                else {
                    await this.#poll(both);
                    streams = true;
                }
            }
            catch (error) {
                if (signal.aborted || isClosed(error))
                    return;
                if (this.#restart.signal.aborted)
                    continue;
                const { trouble, ms } = await this.#classify(error, this.#pullFailures++);
                this.#show(trouble);
                await this.#pullNotify.wait(ms, signal);
            }
        }
    }
    /** Polls, until it is time to try for a stream. */
    async #poll(signal) {
        for (let i = 0; i < POLLS_PER_STREAM && !signal.aborted; i++) {
            await this.resync(signal);
            if ((await catchUp(this.context, signal)) === "resync")
                continue;
            this.#live();
            await this.#pullNotify.wait(this.pollMs, signal);
        }
    }
    async #push(signal) {
        let failures = 0;
        while (!signal.aborted) {
            try {
                while (await this.push(signal))
                    failures = 0;
                this.#pushTrouble = undefined;
                this.#show(this.#pullState);
                await this.#pushNotify.wait(LONG_MS, signal);
            }
            catch (error) {
                if (signal.aborted || isClosed(error))
                    return;
                const { trouble, ms } = await this.#classify(error, failures++);
                this.#pushTrouble = trouble;
                this.#show(this.#pullState);
                // New writes are no reason to hurry: the hub has just said no.
                await this.#retryNotify.wait(ms, signal);
            }
        }
    }
    /** The pull has caught up. */
    #live() {
        this.#pullFailures = 0;
        this.kick();
        this.#show({ state: "live" });
    }
    #show(pull) {
        this.#pullState = pull;
        this.onState(this.#pushTrouble ?? pull);
    }
    /** What a failure means for the user, and how long to wait. What is no HttpError has happened in this browser. */
    async #classify(error, failures) {
        const { message, status, code, retryAfterMs = 0 } = error;
        const { store } = this.context;
        // The rows of the last user are not for the next one's eyes.
        if (code === OWNER_CHANGED)
            await store.write(async (state) => {
                if (!state.parked)
                    await park(store, state, true);
            });
        const state = status === 0 ? "offline" : status === 402 ? "paused" : "error";
        const reason = code || String(status ?? "local");
        const ms = status === 402 ? PAYMENT_MS : Math.max(retryAfterMs, backoffMs(failures));
        return { trouble: { state, reason, message }, ms };
    }
}
/** The application has closed the database. */
function isClosed(error) {
    return ["DatabaseClosedError", "InvalidStateError"].includes(error.name);
}
