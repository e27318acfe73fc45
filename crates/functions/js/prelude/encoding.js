// TextEncoder and TextDecoder (Encoding standard: UTF-8, UTF-16LE, Latin-1), URL and URLSearchParams (URL standard).
import { base64Of } from "ferry:prelude/host";

const { Object, RangeError, String, Symbol, TypeError, Uint8Array } = globalThis;
const UTF_8 = ["utf-8", "utf8", "unicode-1-1-utf-8"];
const LABELS = [
  ...UTF_8.map((label) => [label, "utf-8"]),
  ...["utf-16le", "utf-16", "ucs-2"].map((label) => [label, "utf-16le"]),
  ...["latin1", "iso-8859-1", "ascii", "us-ascii", "windows-1252"].map((label) => [label, "windows-1252"]),
];

export function installEncoding(native) {
  class TextEncoder {
    get encoding() {
      return "utf-8";
    }
    encode(text = "") {
      return native.encodeUtf8(`${text}`.toWellFormed());
    }
    encodeInto(text, target) {
      let read = 0;
      let written = 0;
      for (const character of `${text}`.toWellFormed()) {
        const bytes = native.encodeUtf8(character);
        if (written + bytes.length > target.length) break;
        target.set(bytes, written);
        written += bytes.length;
        read += character.length;
      }
      return { read, written };
    }
  }

  class TextDecoder {
    #isFatal;
    #keepsMark;
    #rest = new Uint8Array(0);
    #isFirst = true;

    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      const found = LABELS.find(([name]) => name === `${label}`.trim().toLowerCase());
      if (found === undefined) throw new RangeError(`The encoding "${label}" is not available.`);
      this.encoding = found[1];
      this.#isFatal = !!fatal;
      this.#keepsMark = !!ignoreBOM;
    }
    get fatal() {
      return this.#isFatal;
    }
    get ignoreBOM() {
      return this.#keepsMark;
    }
    decode(input, { stream = false } = {}) {
      let bytes = input === undefined ? new Uint8Array(0) : view(input);
      if (this.#rest.length > 0) {
        const joined = new Uint8Array(this.#rest.length + bytes.length);
        joined.set(this.#rest);
        joined.set(bytes, this.#rest.length);
        bytes = joined;
      }
      const decoded = native.decode(base64Of(bytes), this.encoding, this.#isFatal, !!stream);
      if (decoded === undefined) {
        this.#rest = new Uint8Array(0);
        throw new TypeError("The encoded data was not valid.");
      }
      let [text, used] = decoded;
      this.#rest = bytes.slice(used);
      if (this.#isFirst && !this.#keepsMark && text.startsWith("\ufeff")) text = text.slice(1);
      this.#isFirst = stream ? this.#isFirst && text === "" && used === 0 : true;
      return text;
    }
  }
  Object.assign(globalThis, { TextEncoder, TextDecoder });
}

/** Bytes of a buffer or of a view. */
export function view(source) {
  if (source instanceof Uint8Array) return source;
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  throw new TypeError("bytes are wanted: an ArrayBuffer or a view of one");
}

export function installUrl(native) {
  /** Tells a URL that its query was changed. */
  let changed;

  class URLSearchParams {
    #pairs = [];
    #url;
    static {
      changed = (query, url, text) => {
        query.#url = url;
        query.#pairs = native.parseForm(text);
      };
    }
    constructor(init = "") {
      if (typeof init === "object" && init !== null) {
        const pairs = typeof init[Symbol.iterator] === "function" ? init : Object.entries(init);
        for (const pair of pairs) {
          const [name, value, ...more] = pair;
          if (value === undefined || more.length > 0) throw new TypeError("a pair of a query is a name and a value");
          this.#pairs.push([`${name}`, `${value}`]);
        }
      } else {
        this.#pairs = native.parseForm(`${init}`.replace(/^\?/, "").toWellFormed());
      }
    }
    #update() {
      if (this.#url !== undefined) this.#url.search = this.toString();
    }
    append(name, value) {
      this.#pairs.push([`${name}`, `${value}`]);
      this.#update();
    }
    delete(name, value) {
      this.#pairs = this.#pairs.filter((pair) => pair[0] !== `${name}` || (value !== undefined && pair[1] !== `${value}`));
      this.#update();
    }
    get(name) {
      return this.#pairs.find((pair) => pair[0] === `${name}`)?.[1] ?? null;
    }
    getAll(name) {
      return this.#pairs.filter((pair) => pair[0] === `${name}`).map((pair) => pair[1]);
    }
    has(name, value) {
      return this.#pairs.some((pair) => pair[0] === `${name}` && (value === undefined || pair[1] === `${value}`));
    }
    set(name, value) {
      const place = this.#pairs.findIndex((pair) => pair[0] === `${name}`);
      if (place < 0) return this.append(name, value);
      this.#pairs[place] = [`${name}`, `${value}`];
      this.#pairs = this.#pairs.filter((pair, other) => other <= place || pair[0] !== `${name}`);
      this.#update();
    }
    sort() {
      this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      this.#update();
    }
    forEach(callback, self) {
      for (const [name, value] of this.#pairs) callback.call(self, value, name, this);
    }
    get size() {
      return this.#pairs.length;
    }
    *entries() {
      for (const [name, value] of this.#pairs) yield [name, value];
    }
    *keys() {
      for (const [name] of this.#pairs) yield name;
    }
    *values() {
      for (const [, value] of this.#pairs) yield value;
    }
    [Symbol.iterator]() {
      return this.entries();
    }
    toString() {
      return native.writeForm(this.#pairs.flat().map((text) => text.toWellFormed()));
    }
  }

  const PARTS = ["href", "origin", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"];

  class URL {
    #parts;
    #query = new URLSearchParams();

    constructor(url, base) {
      const parts = native.parseUrl(`${url}`.toWellFormed(), base === undefined ? undefined : `${base}`.toWellFormed());
      if (parts === undefined) throw new TypeError(`Invalid URL: ${url}`);
      this.#parts = parts;
      changed(this.#query, this, this.search.slice(1));
    }
    static canParse(url, base) {
      return URL.parse(url, base) !== null;
    }
    static parse(url, base) {
      try {
        return new URL(url, base);
      } catch {
        return null;
      }
    }
    get searchParams() {
      return this.#query;
    }
    toString() {
      return this.href;
    }
    toJSON() {
      return this.href;
    }
    static {
      PARTS.forEach((part, place) => {
        const get = function () {
          return this.#parts[place];
        };
        const set = function (value) {
          const parts = native.setUrl(this.#parts[0], part, `${value}`.toWellFormed());
          if (parts === undefined) {
            if (part === "href") throw new TypeError(`Invalid URL: ${value}`);
            return;
          }
          this.#parts = parts;
          if (part === "href" || part === "search") changed(this.#query, this, this.search.slice(1));
        };
        Object.defineProperty(URL.prototype, part, {
          get,
          set: part === "origin" ? undefined : set,
          enumerable: true,
          configurable: true,
        });
      });
    }
  }
  Object.assign(globalThis, { URL, URLSearchParams });
}
