/** Tabs of one application share one database: one of them leads, and all of them know what it knows (REC-63). */
/** Runs `work` while this tab leads; rejects when `signal` ends the waiting. Without Web Locks every tab leads. */
export async function lead(name, signal, work) {
    const locks = globalThis.navigator?.locks;
    await (locks ? locks.request(name, { signal }, work) : work());
}
