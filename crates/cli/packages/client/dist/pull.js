/** Brings the hub's changes: by pages, or over one stream that stays open. */
import { applyPage, beginResync } from "./apply.js";
import { HttpError, OWNER } from "./http.js";
import { events } from "./sse.js";
import { isResync } from "./wire.js";
const PAGE_RECORDS = "2000";
/** The hub sends a heartbeat every 30 s. */
const SILENCE_MS = 75_000;
/** The first event comes at once, unless something on the way holds it back. */
const FIRST_EVENT_MS = 10_000;
function query({ app, store }, { cursor, epoch, head, resync }) {
    const parameters = { app, since: cursor, limit: PAGE_RECORDS, collections: store.tables.join() };
    return `?${new URLSearchParams({ ...parameters, ...(epoch && { epoch }), ...(head && { head }), ...(resync && { own: "1" }) })}`;
}
/** Stores an answer. Returns whether it ends what was waiting. */
async function accept({ store, report }, answer, asked, owner) {
    if (!isResync(answer)) {
        await report(await applyPage(store, answer, asked, owner));
        return answer.more ? "more" : "done";
    }
    await beginResync(store, answer, asked);
    return "resync";
}
/** Everything up to now, by pages. */
export async function catchUp(context, signal) {
    for (;;) {
        const state = await context.store.state();
        const { body, owner } = await context.http.json(`/changes${query(context, state)}`, { ...ofState(state), signal });
        const outcome = await accept(context, body, state, owner);
        if (outcome !== "more")
            return outcome;
    }
}
const ofState = ({ device, owner }) => ({ device, owner });
/** Follows the stream until it ends; `onLive` is called whenever everything has come. Returns whether streams get through. */
export async function follow(context, signal, onLive) {
    const state = await context.store.state();
    const silence = new AbortController();
    const both = AbortSignal.any([signal, silence.signal]);
    let live = false;
    let timer;
    const heard = () => {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), live ? SILENCE_MS : FIRST_EVENT_MS);
    };
    heard();
    try {
        const response = await context.http.open(`/changes/stream${query(context, state)}`, { ...ofState(state), signal: both });
        if (!response.body || !response.headers.get("Content-Type")?.startsWith("text/event-stream"))
            return false;
        for await (const { event, data } of events(response.body, heard)) {
            if (event === "bye") {
                bye(context, JSON.parse(data).reason);
                break;
            }
            if (event !== "changes" && event !== "resync")
                continue;
            const outcome = await accept(context, JSON.parse(data), state, response.headers.get(OWNER));
            if (outcome === "resync")
                break;
            live = true;
            if (outcome === "done")
                onLive();
        }
        return true;
    }
    catch (error) {
        if (silence.signal.aborted && !signal.aborted)
            return live;
        if (error instanceof HttpError && [404, 405, 406, 501].includes(error.status))
            return false;
        throw error;
    }
    finally {
        clearTimeout(timer);
        silence.abort();
    }
}
function bye({ http }, reason) {
    if (reason === "payment_required")
        throw new HttpError(402, reason, "sync is not active");
    if (reason !== "shutdown")
        http.forgetToken();
}
