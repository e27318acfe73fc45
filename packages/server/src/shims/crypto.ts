// node:crypto, as far as it is the platform's `crypto` in other words.
import { Buffer } from "./buffer.ts";

export const webcrypto = globalThis.crypto;
export const subtle = globalThis.crypto?.subtle;

export function randomUUID(): string {
  return crypto.randomUUID();
}

export function getRandomValues<T extends ArrayBufferView>(array: T): T {
  return crypto.getRandomValues(array as never);
}

export function randomBytes(size: number): Buffer {
  return crypto.getRandomValues(Buffer.alloc(size) as never);
}

export function randomInt(min: number, max?: number): number {
  const [low, high] = max === undefined ? [0, min] : [min, max];
  const [upper, lower] = crypto.getRandomValues(new Uint32Array(2)) as unknown as [number, number];
  return low + Math.floor(((upper * 2 ** 21 + (lower >>> 11)) / 2 ** 53) * (high - low));
}

export function timingSafeEqual(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) throw new RangeError("Input buffers must have the same byte length");
  let difference = 0;
  for (let i = 0; i < left.length; i++) difference |= left[i]! ^ right[i]!;
  return difference === 0;
}

export function createHash(): never {
  throw new Error("createHash() is not available in functions: use `await crypto.subtle.digest(\"SHA-256\", bytes)`.");
}

export function createHmac(): never {
  throw new Error("createHmac() is not available in functions: use `await crypto.subtle.sign(\"HMAC\", key, bytes)`.");
}

export default {
  webcrypto, subtle, randomUUID, getRandomValues, randomBytes, randomInt, timingSafeEqual, createHash, createHmac,
};
