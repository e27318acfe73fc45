// How results become JSON where that is not JSON's own way: integers beyond 2⁵³ as decimal text, bytes as base64.

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

export function base64(bytes: Uint8Array): string {
  const native = (bytes as { toBase64?(): string }).toBase64;
  if (native) return native.call(bytes);
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const group = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text += DIGITS[group >> 18]! + DIGITS[(group >> 12) & 63]!;
    text += i + 1 < bytes.length ? DIGITS[(group >> 6) & 63]! : "=";
    text += i + 2 < bytes.length ? DIGITS[group & 63]! : "=";
  }
  return text;
}

/** Cannot be taken away; who inherits it may have its own, as Buffers of npm do. */
function fixed(prototype: object, toJSON: (this: any) => string): void {
  Object.defineProperty(prototype, "toJSON", {
    get: () => toJSON,
    set(this: object, value: unknown) {
      if (this !== prototype) Object.defineProperty(this, "toJSON", { value, writable: true, configurable: true, enumerable: true });
    },
    configurable: false,
    enumerable: false,
  });
}

export function installJson(): void {
  fixed(BigInt.prototype, function () {
    return this.toString();
  });
  fixed(Uint8Array.prototype, function () {
    return base64(this);
  });
  fixed(ArrayBuffer.prototype, function () {
    return base64(new Uint8Array(this));
  });
}
