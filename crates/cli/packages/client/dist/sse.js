/** Server-sent events over fetch, which unlike `EventSource` can send headers: WHATWG HTML, section 9.2. */
/** Yields events until the stream ends; `onBytes` is called for everything that arrives. */
export async function* events(body, onBytes) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    try {
        for (;;) {
            const { done, value } = await reader.read();
            if (done)
                return;
            onBytes();
            const text = decoder.decode(value, { stream: true });
            rest += text;
            // A long event comes in many pieces: do not search it again from its start for each.
            if (!text.includes("\n"))
                continue;
            const blocks = rest.split(/\r?\n\r?\n/);
            rest = blocks.pop();
            for (const block of blocks) {
                const values = (name) => [...block.matchAll(new RegExp(`^${name}: ?(.*)$`, "gm"))].map(([, value]) => value);
                const data = values("data");
                if (data.length)
                    yield { event: values("event").pop() ?? "message", data: data.join("\n") };
            }
        }
    }
    finally {
        reader.cancel().catch(() => { });
    }
}
