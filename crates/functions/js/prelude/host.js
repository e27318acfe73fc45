// What `ferry:runtime` gets: the database of the call, and what the call leaves behind.

const { Array, ArrayBuffer, Error, JSON, Object, String, TypeError, Uint8Array } = globalThis;
const { isArray } = Array;
const { isView } = ArrayBuffer;
const { apply } = Reflect;
const { toBase64 } = Uint8Array.prototype;
const { toWellFormed } = String.prototype;

/** What SQL says no to. */
class SqlError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}
Object.defineProperty(SqlError.prototype, "name", { value: "SqlError", configurable: true, writable: true });

/** Bytes as base64: the one form in which they cross to the host without a copy byte by byte. */
export function base64Of(value) {
  if (value instanceof Uint8Array) return apply(toBase64, value, []);
  if (isView(value)) return apply(toBase64, new Uint8Array(value.buffer, value.byteOffset, value.byteLength), []);
  if (value instanceof ArrayBuffer) return apply(toBase64, new Uint8Array(value), []);
  return undefined;
}

function parameter(value) {
  if (typeof value !== "object" || value === null) return value;
  const base64 = base64Of(value);
  if (base64 === undefined) {
    throw new TypeError("a parameter of a statement is an object: give null, a number, a bigint, a string, a boolean or bytes");
  }
  return [base64];
}

export function makeHost(native, answerTo) {
  const done = (answer) => {
    if (isArray(answer)) throw new SqlError(answer[0], answer[1]);
    return answer;
  };
  return Object.freeze({
    // Rows may be asked for by names.
    keyed: true,
    execute(sql, parameters, mode) {
      const values = [];
      for (let place = 0; place < parameters.length; place++) {
        const value = parameters[place];
        // Text with half a surrogate pair is no UTF-8.
        values[place] = typeof value === "string" ? apply(toWellFormed, value, []) : parameter(value);
      }
      return done(native.execute(sql, values, mode));
    },
    savepoint: (step) => void done(native.savepoint(step)),
    model: (kind, a, b, c) => done(native.model(kind, `${a}`, `${b ?? ""}`, `${c ?? ""}`)),
    log: (level, text) => native.log(level, `${text}`),
    warn: (text) => native.warn(`${text}`),
    subscribeTo: (names) => native.subscribeTo([names].flat().map(String)),
    invalidate: (names) => native.invalidate([names].flat().map(String)),
    seq: () => done(native.seq()),
    used: (what) => native.used(what),
    sign: (claims, expiresIn) =>
      answerTo(native.sign(claims, expiresIn)).catch((message) => {
        throw new Error(message);
      }),
    verify: (token, issuer, audience) => {
      const text = (value) => (value === undefined || value === null ? undefined : `${value}`);
      return answerTo(native.verify(`${token}`, text(issuer), text(audience))).then(
        (claims) => ({ ok: true, payload: JSON.parse(claims) }),
        (error) => ({ ok: false, error }),
      );
    },
  });
}
