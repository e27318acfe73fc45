/** Server-sent events over fetch, which unlike `EventSource` can send headers: WHATWG HTML, section 9.2. */

/** One event. */
export type ServerEvent = { event: string; data: string };

/** Yields events until the stream ends; `onBytes` is called for everything that arrives. */
export async function* events(body: ReadableStream<Uint8Array>, onBytes: () => void): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let event = "message";
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      // A line that is split over many chunks is not searched again from its start.
      const arrived = decoder.decode(value, { stream: true });
      if (!/[\r\n]/.test(arrived)) {
        rest += arrived;
        continue;
      }
      const lines = (rest + arrived).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop()!;
      for (const line of lines) {
        if (line === "") {
          if (data.length) yield { event, data: data.join("\n") };
          event = "message";
          data = [];
          continue;
        }
        const colon = line.indexOf(":");
        const name = colon < 0 ? line : line.slice(0, colon);
        const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (name === "event") event = text;
        if (name === "data") data.push(text);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
