import { expect, test } from "vitest";
import { call } from "../src/runtime/run.ts";
import { base64, installJson } from "../src/runtime/json.ts";
import { Buffer as OwnBuffer } from "../src/shims/buffer.ts";
import { request, TestHost } from "./host.ts";

// Verifies: FUN-06
test("bigints and bytes have a form in JSON that cannot be changed", () => {
  installJson();
  const bytes = Uint8Array.from([251, 255, 0, 1]);
  expect(JSON.stringify({ n: 2n ** 60n, bytes, buffer: bytes.buffer, empty: new Uint8Array() }))
    .toBe('{"n":"1152921504606846976","bytes":"+/8AAQ==","buffer":"+/8AAQ==","empty":""}');
  (Uint8Array.prototype as any).toJSON = () => "changed";
  expect(JSON.stringify(bytes)).toBe('"+/8AAQ=="');
  class Own extends Uint8Array {}
  (Own.prototype as any).toJSON = () => "own";
  expect(JSON.stringify(new Own(2))).toBe('"own"');
  for (let length = 0; length < 8; length++) {
    const some = Uint8Array.from({ length }, (_, i) => i * 37);
    expect(base64(some)).toBe(Buffer.from(some).toString("base64"));
    expect([...OwnBuffer.from(base64(some), "base64")]).toEqual([...some]);
    expect(OwnBuffer.from(some).toString("hex")).toBe(Buffer.from(some).toString("hex"));
  }
  expect(OwnBuffer.concat([OwnBuffer.from("ä"), OwnBuffer.from("b")]).toString()).toBe("äb");
});

test("a call leaves nothing behind in what all objects inherit", async () => {
  const program = {
    pollute: (_ctx: unknown, args: any) => {
      args.target.__proto__.isAdmin = true;
    },
  };
  await expect(call(program, "pollute", request({ args: { target: {} } }), new TestHost())).rejects.toThrow("not extensible");
  expect(({} as any).isAdmin).toBeUndefined();
});
