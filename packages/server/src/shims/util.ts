// node:util.
import { formatted } from "../runtime/format.ts";

export function inspect(value: unknown): string {
  return typeof value === "string" ? `'${value}'` : formatted([value]);
}

export function format(first?: unknown, ...rest: unknown[]): string {
  if (typeof first !== "string") return formatted(first === undefined && rest.length === 0 ? [] : [first, ...rest]);
  const text = first.replace(/%[sdifjoOc%]/g, (mark) => {
    if (mark === "%%") return "%";
    if (rest.length === 0) return mark;
    const value = rest.shift();
    switch (mark) {
      case "%d":
      case "%f":
        return String(Number(value));
      case "%i":
        return String(Math.trunc(Number(value)));
      case "%j":
        return JSON.stringify(value);
      case "%c":
        return "";
      default:
        return formatted([value]);
    }
  });
  return rest.length > 0 ? `${text} ${formatted(rest)}` : text;
}

export function promisify(original: (...args: any[]) => void): (...args: any[]) => Promise<any> {
  return function (this: unknown, ...args) {
    return new Promise((resolve, reject) => {
      original.call(this, ...args, (error: unknown, value: unknown) => (error ? reject(error) : resolve(value)));
    });
  };
}

export function inherits(child: any, parent: any): void {
  Object.setPrototypeOf(child.prototype, parent.prototype);
  Object.setPrototypeOf(child, parent);
}

export function deprecate<T>(original: T): T {
  return original;
}

export function isDeepStrictEqual(left: any, right: any): boolean {
  if (Object.is(left, right)) return true;
  if (left === null || right === null || typeof left !== "object" || typeof right !== "object") return false;
  if (Object.getPrototypeOf(left) !== Object.getPrototypeOf(right)) return false;
  if (left instanceof Date) return left.getTime() === right.getTime();
  const keys = Object.keys(left);
  return keys.length === Object.keys(right).length
    && keys.every((key) => Object.hasOwn(right, key) && isDeepStrictEqual(left[key], right[key]));
}

export const types = {
  isDate: (value: unknown): value is Date => value instanceof Date,
  isRegExp: (value: unknown): value is RegExp => value instanceof RegExp,
  isPromise: (value: unknown): value is Promise<unknown> => value instanceof Promise,
  isMap: (value: unknown): value is Map<unknown, unknown> => value instanceof Map,
  isSet: (value: unknown): value is Set<unknown> => value instanceof Set,
  isUint8Array: (value: unknown): value is Uint8Array => value instanceof Uint8Array,
  isNativeError: (value: unknown): value is Error => value instanceof Error,
};

export const TextEncoder = globalThis.TextEncoder;
export const TextDecoder = globalThis.TextDecoder;
export default { inspect, format, promisify, inherits, deprecate, isDeepStrictEqual, types, TextEncoder, TextDecoder };
