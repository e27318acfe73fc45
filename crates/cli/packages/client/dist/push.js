/** Sends the outbox: batches of 200; what the hub refuses is set aside (REC-62). */
import { applyAnswer, beginResync } from "./apply.js";
import { HttpError } from "./http.js";
import { OUTBOX } from "./store.js";
import { isResync } from "./wire.js";
const BATCH = 200;
/** UTF-16 units; the hub takes 10 MiB of UTF-8. What is larger in spite of this is halved. */
const BATCH_LENGTH = 6 << 20;
/** Sends one batch, one at a time. `idle`: there is nothing to send, or not now. */
export async function pushBatch(context, signal) {
    const state = await context.store.state();
    // What was pushed during a resync might be missing from the pages that end it.
    if (state.resync || state.parked)
        return "idle";
    // Not before it is known that who is logged in is the owner of these rows.
    if (state.owner && !context.http.isAccepted)
        return "idle";
    const rows = await context.store.db.table(OUTBOX).orderBy("n").limit(BATCH).toArray();
    if (!rows.length)
        return "idle";
    const bodies = [];
    let length = 0;
    for (const { table, n: _, ...change } of rows) {
        const body = JSON.stringify({ collection: table, ...change });
        length += body.length;
        if (bodies.length && length > BATCH_LENGTH)
            break;
        bodies.push(body);
    }
    return send(context, rows.slice(0, bodies.length), bodies, signal);
}
async function send(context, rows, bodies, signal) {
    const { store, http, app, report } = context;
    const state = await store.state();
    const { device, owner, cursor, epoch, head } = state;
    const start = JSON.stringify({ app, since: cursor, epoch, head }).slice(0, -1);
    const body = `${start},"changes":[${bodies.join()}]}`;
    let answer;
    try {
        answer = (await http.json("/changes", { device, owner, body, signal })).body;
    }
    catch (error) {
        if (!(error instanceof HttpError) || ![400, 413, 422].includes(error.status))
            throw error;
        // Something in it makes the whole of it unreadable to the hub. Find out what, and let the rest pass.
        if (rows.length > 1) {
            const half = rows.length >> 1;
            const outcome = await send(context, rows.slice(0, half), bodies.slice(0, half), signal);
            return outcome === "more" ? send(context, rows.slice(half), bodies.slice(half), signal) : outcome;
        }
        const reason = error.status === 413 ? "too_large" : "invalid";
        answer = { results: [{ status: "rejected", reason, message: error.message }] };
    }
    if (isResync(answer)) {
        await beginResync(store, answer, state);
        return "resync";
    }
    if (answer.results.length !== rows.length)
        throw new HttpError(502, "", "bad answer");
    await report(await applyAnswer(store, rows, answer, device));
    return "more";
}
