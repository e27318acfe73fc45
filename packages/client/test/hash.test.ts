import { blake3 as reference } from "@noble/hashes/blake3.js";
import { describe, expect, test } from "vitest";
import { readFileSync } from "node:fs";
import { blake3 } from "../src/blake3.ts";
import { canonical } from "../src/json.ts";
import { wins } from "../src/rule.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("the digest of REC-01", () => {
  test("is BLAKE3 for every shape of the tree", () => {
    for (const length of [0, 1, 3, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3072, 3073, 5000, 8193, 70_000]) {
      const input = Uint8Array.from({ length }, (_, i) => i % 251);
      expect(blake3(input), String(length)).toBe(hex(reference(input)));
    }
  });

  test("agrees with the vectors of docs/records-wire.md", () => {
    const page = readFileSync(new URL("../../../docs/records-wire.md", import.meta.url), "utf8");
    const rows = [...page.matchAll(/^\| `(.+)` \| `(.+)` \| `([0-9a-f]{64})` \|$/gm)];
    expect(rows.length).toBeGreaterThanOrEqual(7);
    for (const [, sent, text, digest] of rows) {
      expect(canonical(JSON.parse(sent!))).toBe(text);
      expect(blake3(new TextEncoder().encode(text))).toBe(digest);
    }
  });

  test("members that look like numbers are sorted as text", () => {
    expect(canonical(JSON.parse('{"b":1,"10":2,"9":3}'))).toBe('{"10":2,"9":3,"b":1}');
  });
});

describe("the rule of REC-01", () => {
  const at = "2026-01-01T10:00:00.000000000Z";
  const later = "2026-01-01T10:00:00.000000001Z";

  test("time, then writer by bytes, then digest", () => {
    expect(wins(later + "a", 1, at + "b", 2)).toBe(true);
    expect(wins(at + "b", 1, at + "a", 2)).toBe(true);
    expect(wins(at + "a", 1, at + "ab", 2)).toBe(false);
    // UTF-16 would have it the other way round.
    expect(wins(at + "\u{1F600}", 1, at + "\uFFFD", 2)).toBe(true);
    expect(wins(at + "a", 1, undefined, null)).toBe(true);
  });

  test("a tie has one winner, and an equal write changes nothing", () => {
    for (const [x, y] of [[1, 2], ["a", null], [{ a: 1 }, { a: 2 }], [[], {}]]) {
      expect(wins(at + "a", x, at + "a", y)).toBe(!wins(at + "a", y, at + "a", x));
      expect(wins(at + "a", x, at + "a", x)).toBe(false);
    }
    expect(wins(at + "a", { a: 1, b: 2 }, at + "a", { b: 2, a: 1 })).toBe(false);
  });
});
