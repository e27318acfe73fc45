import { expect, test } from "vitest";
import fc from "fast-check";
import { events, type ServerEvent } from "../src/sse.ts";

async function parse(chunks: Uint8Array[]): Promise<ServerEvent[]> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  const found = [];
  for await (const event of events(body, () => {})) found.push(event);
  return found;
}

const TEXT = ': note\n\nevent: changes\nid: 7\ndata: {"a":"é: \u{1F600}"}\n\nevent:bye\ndata:{}\n\ndata: one\ndata: two\n\n';
const WANT = [
  { event: "changes", data: '{"a":"é: \u{1F600}"}' },
  { event: "bye", data: "{}" },
  { event: "message", data: "one\ntwo" },
];

test("events survive any cut, also within a character, and either end of line", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(200), { maxLength: 12 }), fc.boolean(), async (cuts, crlf) => {
      const bytes = new TextEncoder().encode(crlf ? TEXT.replaceAll("\n", "\r\n") : TEXT);
      const places = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
      expect(await parse(places.slice(1).map((end, i) => bytes.slice(places[i], end)))).toEqual(WANT);
    }),
  );
});

test("an event that was not finished is not an event", async () => {
  expect(await parse([new TextEncoder().encode("event: changes\ndata: {}\n")])).toEqual([]);
});
