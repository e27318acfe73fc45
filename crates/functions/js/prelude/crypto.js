// crypto (Web Cryptography API): digests, HMAC, ECDSA P-256, Ed25519, RSA verify, AES-GCM, PBKDF2, HKDF.
import { view } from "ferry:prelude/encoding";
import { base64Of } from "ferry:prelude/host";

const { Array, DOMException, JSON, Object, TypeError, Uint8Array } = globalThis;
const HASHES = { "SHA-1": [20, 64], "SHA-256": [32, 64], "SHA-384": [48, 128], "SHA-512": [64, 128] };
/** DER of keys whose length is fixed: what stands before the key itself. */
const ED25519_PKCS8 = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const ED25519_SPKI = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

const fail = (name, message) => {
  throw new DOMException(message, name);
};
const unknown = (what) => fail("NotSupportedError", `${what} is not available`);
const buffer = (bytes) => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const base64 = (source) => base64Of(view(source));
const toUrl = (bytes) => bytes.toBase64({ alphabet: "base64url", omitPadding: true });
const fromUrl = (text) => {
  try {
    return Uint8Array.fromBase64(text, { alphabet: "base64url" });
  } catch {
    return fail("DataError", "a member of the JWK is no base64url");
  }
};
const join = (...parts) => new Uint8Array(parts.flatMap((part) => [...part]));

function algorithmOf(given) {
  const algorithm = typeof given === "string" ? { name: given } : { ...given };
  const names = ["HMAC", "ECDSA", "Ed25519", "RSASSA-PKCS1-v1_5", "RSA-PSS", "AES-GCM", "PBKDF2", "HKDF", ...Object.keys(HASHES)];
  const name = names.find((one) => one.toLowerCase() === `${algorithm.name}`.toLowerCase());
  return { ...algorithm, name: name ?? unknown(algorithm.name) };
}

function hashOf(given) {
  const { name } = algorithmOf(given ?? fail("TypeError", "a hash is missing"));
  return name in HASHES ? name : unknown(`the hash ${name}`);
}

export function installCrypto(native) {
  let material;
  let make;

  class CryptoKey {
    #material;
    static {
      material = (key) => key.#material;
      make = (type, algorithm, extractable, usages, bytes) => {
        const key = new CryptoKey();
        key.#material = bytes;
        return Object.assign(key, { type, algorithm, extractable: !!extractable, usages: [...usages] });
      };
    }
  }

  /** The bytes of a key that may be used so. */
  function use(key, name, usage) {
    if (!(key instanceof CryptoKey)) throw new TypeError("a CryptoKey is wanted");
    if (key.algorithm.name !== name) fail("InvalidAccessError", `the key is for ${key.algorithm.name}`);
    if (!key.usages.includes(usage)) fail("InvalidAccessError", `the key does not allow ${usage}`);
    return material(key);
  }

  const importers = {
    HMAC(format, data, algorithm) {
      const hash = hashOf(algorithm.hash);
      const bytes = secret(format, data);
      return ["secret", { name: "HMAC", hash: { name: hash }, length: bytes.length * 8 }, bytes];
    },
    "AES-GCM"(format, data) {
      const bytes = secret(format, data);
      if (![16, 32].includes(bytes.length)) fail("DataError", "an AES key has 128 or 256 bits");
      return ["secret", { name: "AES-GCM", length: bytes.length * 8 }, bytes];
    },
    PBKDF2: (format, data) => ["secret", { name: "PBKDF2" }, secret(format, data)],
    HKDF: (format, data) => ["secret", { name: "HKDF" }, secret(format, data)],
    ECDSA(format, data, { namedCurve }) {
      if (namedCurve !== "P-256") unknown(`the curve ${namedCurve}`);
      const algorithm = { name: "ECDSA", namedCurve };
      if (format === "jwk") {
        if (data.kty !== "EC" || data.crv !== "P-256") fail("DataError", "the JWK is no key of P-256");
        if (data.d !== undefined) return ["private", algorithm, native.p256Private(base64(fromUrl(data.d)), false)];
        const point = join([4], fromUrl(data.x), fromUrl(data.y));
        return ["public", algorithm, native.p256Public(base64(point), false)];
      }
      if (format === "pkcs8") return ["private", algorithm, native.p256Private(base64(data), true)];
      if (format === "spki" || format === "raw") {
        return ["public", algorithm, native.p256Public(base64(data), format === "spki")];
      }
      return unknown(`the format ${format}`);
    },
    Ed25519(format, data) {
      const algorithm = { name: "Ed25519" };
      const after = (prefix) => {
        const bytes = view(data);
        const isGood = bytes.length === prefix.length + 32 && prefix.every((byte, place) => bytes[place] === byte);
        return isGood ? bytes.slice(prefix.length) : fail("DataError", "the key is no Ed25519 key");
      };
      const ofLength = (bytes) => (bytes.length === 32 ? bytes : fail("DataError", "an Ed25519 key has 32 bytes"));
      if (format === "jwk") {
        if (data.kty !== "OKP" || data.crv !== "Ed25519") fail("DataError", "the JWK is no Ed25519 key");
        if (data.d !== undefined) return ["private", algorithm, ofLength(fromUrl(data.d))];
        return ["public", algorithm, ofLength(fromUrl(data.x))];
      }
      if (format === "pkcs8") return ["private", algorithm, after(ED25519_PKCS8)];
      if (format === "spki") return ["public", algorithm, after(ED25519_SPKI)];
      if (format === "raw") return ["public", algorithm, ofLength(view(data).slice())];
      return unknown(`the format ${format}`);
    },
    "RSASSA-PKCS1-v1_5": (format, data, algorithm) => rsa(format, data, algorithm),
    "RSA-PSS": (format, data, algorithm) => rsa(format, data, algorithm),
  };

  function secret(format, data) {
    if (format === "raw") return view(data).slice();
    if (format !== "jwk") unknown(`the format ${format}`);
    return data.kty === "oct" ? fromUrl(data.k) : fail("DataError", "the JWK is no secret key");
  }

  function rsa(format, data, { name, hash }) {
    const algorithm = { name, hash: { name: hashOf(hash) } };
    if (format === "spki") return ["public", algorithm, native.rsaPublic(base64(data), undefined)];
    if (format !== "jwk") unknown(`the format ${format}`);
    if (data.kty !== "RSA" || data.d !== undefined) fail("DataError", "RSA keys are for verifying: give a public key");
    return ["public", algorithm, native.rsaPublic(base64(fromUrl(data.n)), base64(fromUrl(data.e)))];
  }

  function exportJwk(key, bytes) {
    const common = { key_ops: [...key.usages], ext: true };
    const { name } = key.algorithm;
    if (key.type === "secret") return { kty: "oct", k: toUrl(bytes), ...common };
    if (name === "ECDSA") {
      const point = key.type === "private" ? native.p256PublicOf(base64(bytes)) : bytes;
      const d = key.type === "private" ? { d: toUrl(bytes) } : {};
      return { kty: "EC", crv: "P-256", x: toUrl(point.slice(1, 33)), y: toUrl(point.slice(33)), ...d, ...common };
    }
    if (name === "Ed25519") {
      const isPrivate = key.type === "private";
      const x = isPrivate ? native.ed25519PublicOf(base64(bytes)) : bytes;
      return { kty: "OKP", crv: "Ed25519", x: toUrl(x), ...(isPrivate ? { d: toUrl(bytes) } : {}), ...common };
    }
    return unknown("exporting this key as JWK");
  }

  function exportKey(format, key) {
    const bytes = material(key);
    if (!key.extractable) fail("InvalidAccessError", "the key is not extractable");
    if (format === "jwk") return exportJwk(key, bytes);
    const { name } = key.algorithm;
    if (format === "raw" && (key.type === "secret" || (key.type === "public" && !name.startsWith("RSA")))) return buffer(bytes);
    if (format === "pkcs8" && key.type === "private") {
      return buffer(name === "ECDSA" ? native.p256Der(base64(bytes), true) : join(ED25519_PKCS8, bytes));
    }
    if (format === "spki" && key.type === "public") {
      if (name === "ECDSA") return buffer(native.p256Der(base64(bytes), false));
      return buffer(name === "Ed25519" ? join(ED25519_SPKI, bytes) : bytes);
    }
    return unknown(`the format ${format} for this key`);
  }

  function generate(algorithm, extractable, usages) {
    const { name } = algorithm;
    const pair = (bytes, publicBytes, of) => ({
      privateKey: make("private", of, extractable, usages.filter((usage) => usage === "sign"), bytes),
      publicKey: make("public", of, true, usages.filter((usage) => usage === "verify"), publicBytes),
    });
    if (name === "HMAC") {
      const hash = hashOf(algorithm.hash);
      const length = algorithm.length ?? HASHES[hash][1] * 8;
      return make("secret", { name, hash: { name: hash }, length }, extractable, usages, native.randomBytes(length / 8));
    }
    if (name === "AES-GCM") {
      if (![128, 256].includes(algorithm.length)) fail("OperationError", "an AES key has 128 or 256 bits");
      return make("secret", { name, length: algorithm.length }, extractable, usages, native.randomBytes(algorithm.length / 8));
    }
    if (name === "ECDSA") {
      if (algorithm.namedCurve !== "P-256") unknown(`the curve ${algorithm.namedCurve}`);
      const bytes = native.p256Generate();
      return pair(bytes, native.p256PublicOf(base64(bytes)), { name, namedCurve: "P-256" });
    }
    if (name === "Ed25519") {
      const bytes = native.randomBytes(32);
      return pair(bytes, native.ed25519PublicOf(base64(bytes)), { name });
    }
    return unknown(`generating keys for ${name}`);
  }

  function derive(algorithm, key, length) {
    const bytes = use(key, algorithm.name, key.usages.includes("deriveBits") ? "deriveBits" : "deriveKey");
    if (!(length > 0 && length % 8 === 0)) fail("OperationError", "the length is no positive multiple of 8 bits");
    const hash = hashOf(algorithm.hash);
    const salt = base64(algorithm.salt);
    if (algorithm.name === "PBKDF2") return native.pbkdf2(hash, base64(bytes), salt, algorithm.iterations, length / 8);
    if (algorithm.name === "HKDF") return native.hkdf(hash, base64(bytes), salt, base64(algorithm.info), length / 8);
    return unknown(`deriving by ${algorithm.name}`);
  }

  function aes(algorithm, key, data, usage) {
    if (algorithm.name !== "AES-GCM") unknown(algorithm.name);
    if ((algorithm.tagLength ?? 128) !== 128) unknown("a tag that has not 128 bits");
    const bytes = base64(use(key, "AES-GCM", usage));
    const iv = view(algorithm.iv);
    if (iv.length !== 12) unknown("an iv that has not 12 bytes");
    const more = base64(algorithm.additionalData ?? new Uint8Array(0));
    return native.aesGcm(usage === "encrypt", bytes, base64(iv), more, base64(data)) ?? fail("OperationError", "the data was not made with this key, iv and additional data");
  }

  const subtle = {
    async digest(algorithm, data) {
      return buffer(native.digest(hashOf(algorithm), base64(data)));
    },
    async importKey(format, data, given, extractable, usages) {
      const algorithm = algorithmOf(given);
      const importer = importers[algorithm.name] ?? unknown(`importing keys for ${algorithm.name}`);
      const [type, of, bytes] = importer(format, data, algorithm);
      if (bytes === undefined) fail("DataError", "the key cannot be read");
      return make(type, of, type === "public" || extractable, usages, bytes);
    },
    async exportKey(format, key) {
      return exportKey(format, key);
    },
    async generateKey(given, extractable, usages) {
      return generate(algorithmOf(given), extractable, usages);
    },
    async sign(given, key, data) {
      const algorithm = algorithmOf(given);
      const bytes = base64(use(key, algorithm.name, "sign"));
      if (algorithm.name === "HMAC") return buffer(native.hmac(key.algorithm.hash.name, bytes, base64(data)));
      if (key.type !== "private") fail("InvalidAccessError", "signing needs a private key");
      if (algorithm.name === "ECDSA") return buffer(native.p256Sign(hashOf(algorithm.hash), bytes, base64(data)));
      if (algorithm.name === "Ed25519") return buffer(native.ed25519Sign(bytes, base64(data)));
      return unknown(`signing by ${algorithm.name}`);
    },
    async verify(given, key, signature, data) {
      const algorithm = algorithmOf(given);
      const { name } = algorithm;
      const bytes = base64(use(key, name, "verify"));
      const inputs = [base64(signature), base64(data)];
      if (name === "HMAC") return native.hmacVerify(key.algorithm.hash.name, bytes, ...inputs);
      if (name === "ECDSA") return native.p256Verify(hashOf(algorithm.hash), bytes, ...inputs);
      if (name === "Ed25519") return native.ed25519Verify(bytes, ...inputs);
      if (name.startsWith("RSA")) {
        return native.rsaVerify(name === "RSA-PSS", key.algorithm.hash.name, bytes, algorithm.saltLength ?? 0, ...inputs);
      }
      return unknown(`verifying by ${name}`);
    },
    async encrypt(given, key, data) {
      return buffer(aes(algorithmOf(given), key, data, "encrypt"));
    },
    async decrypt(given, key, data) {
      return buffer(aes(algorithmOf(given), key, data, "decrypt"));
    },
    async deriveBits(given, key, length) {
      return buffer(derive(algorithmOf(given), key, length));
    },
    async deriveKey(given, key, derived, extractable, usages) {
      const target = algorithmOf(derived);
      const length = target.length ?? (target.name === "HMAC" ? HASHES[hashOf(target.hash)][1] * 8 : undefined);
      return subtle.importKey("raw", derive(algorithmOf(given), key, length), target, extractable, usages);
    },
  };

  globalThis.CryptoKey = CryptoKey;
  globalThis.crypto = {
    subtle,
    getRandomValues(array) {
      if (!ArrayBuffer.isView(array)) throw new TypeError("getRandomValues fills a typed array");
      if (array.byteLength > 65536) fail("QuotaExceededError", "at most 65536 bytes at once");
      view(array).set(native.randomBytes(array.byteLength));
      return array;
    },
    randomUUID() {
      const bytes = native.randomBytes(16);
      bytes[6] = (bytes[6] & 0x0f) | 0x40;
      bytes[8] = (bytes[8] & 0x3f) | 0x80;
      const hex = bytes.toHex();
      return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
    },
  };
}
