// node:buffer as far as programs for browsers and workers use it.
import { base64 } from "../runtime/json.ts";

export type Encoding = "utf8" | "utf-8" | "hex" | "base64" | "base64url" | "latin1" | "binary" | "ascii";

function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length >> 1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

function fromBase64(text: string): Uint8Array {
  const clean = text.replace(/[^A-Za-z0-9+/_-]/g, "").replaceAll("-", "+").replaceAll("_", "/");
  const bytes = new Uint8Array(Math.floor((clean.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (const letter of clean) {
    held = (held << 6) | "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".indexOf(letter);
    bits += 6;
    if (bits >= 8) bytes[at++] = (held >> (bits -= 8)) & 255;
  }
  return bytes.subarray(0, at);
}

function bytesOf(text: string, encoding: Encoding): Uint8Array {
  switch (encoding) {
    case "hex":
      return fromHex(text);
    case "base64":
    case "base64url":
      return fromBase64(text);
    case "latin1":
    case "binary":
    case "ascii":
      return Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 255);
    default:
      return new TextEncoder().encode(text);
  }
}

function over(bytes: Uint8Array): Buffer {
  return new Buffer(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
}

export class Buffer extends Uint8Array {
  static override from(value: any, encoding: any = "utf8", length?: number): Buffer {
    if (typeof value === "string") return over(bytesOf(value, encoding));
    if (value instanceof ArrayBuffer) return new Buffer(value, typeof encoding === "number" ? encoding : 0, length);
    const source: ArrayLike<number> = value?.type === "Buffer" ? value.data : value;
    const buffer = new Buffer(source.length);
    buffer.set(source);
    return buffer;
  }

  static alloc(size: number, fill: number = 0): Buffer {
    return new Buffer(size).fill(fill) as Buffer;
  }

  static allocUnsafe(size: number): Buffer {
    return new Buffer(size);
  }

  static isBuffer(value: unknown): value is Buffer {
    return value instanceof Buffer;
  }

  static byteLength(text: string, encoding: Encoding = "utf8"): number {
    return bytesOf(text, encoding).length;
  }

  static concat(list: readonly Uint8Array[], total = list.reduce((sum, part) => sum + part.length, 0)): Buffer {
    const buffer = new Buffer(total);
    let at = 0;
    for (const part of list) {
      buffer.set(part.subarray(0, total - at), at);
      at = Math.min(at + part.length, total);
    }
    return buffer;
  }

  static compare(left: Uint8Array, right: Uint8Array): number {
    for (let i = 0; i < Math.min(left.length, right.length); i++) {
      if (left[i] !== right[i]) return left[i]! < right[i]! ? -1 : 1;
    }
    return Math.sign(left.length - right.length);
  }

  equals(other: Uint8Array): boolean {
    return Buffer.compare(this, other) === 0;
  }

  override toString(encoding: Encoding = "utf8", start = 0, end = this.length): string {
    const bytes = this.subarray(start, end);
    switch (encoding) {
      case "hex":
        return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
      case "base64":
        return base64(bytes);
      case "base64url":
        return base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
      case "latin1":
      case "binary":
      case "ascii":
        return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
      default:
        return new TextDecoder().decode(bytes);
    }
  }
}
