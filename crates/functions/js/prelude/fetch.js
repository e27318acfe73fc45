// fetch, Headers, Request and Response (Fetch standard). Bodies are whole: there are no streams.
import { view } from "ferry:prelude/encoding";
import { base64Of } from "ferry:prelude/host";

const { DOMException, JSON, Map, Object, Promise, RangeError, Symbol, TypeError, Uint8Array } = globalThis;
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
const NULL_BODY = [101, 103, 204, 205, 304];

class Headers {
  #values = new Map();

  constructor(init) {
    if (init === undefined || init === null) return;
    const pairs = typeof init[Symbol.iterator] === "function" ? init : Object.entries(init);
    for (const [name, value] of pairs) this.append(name, value);
  }
  static #name(name) {
    if (!NAME.test(name)) throw new TypeError(`"${name}" is no name of a header`);
    return `${name}`.toLowerCase();
  }
  static #value(value) {
    const text = `${value}`.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
    if (/[\0\n\r]/.test(text)) throw new TypeError("a header's value holds a line break");
    return text;
  }
  append(name, value) {
    const key = Headers.#name(name);
    this.#values.set(key, [...(this.#values.get(key) ?? []), Headers.#value(value)]);
  }
  set(name, value) {
    this.#values.set(Headers.#name(name), [Headers.#value(value)]);
  }
  delete(name) {
    this.#values.delete(Headers.#name(name));
  }
  get(name) {
    return this.#values.get(Headers.#name(name))?.join(", ") ?? null;
  }
  getSetCookie() {
    return [...(this.#values.get("set-cookie") ?? [])];
  }
  has(name) {
    return this.#values.has(Headers.#name(name));
  }
  forEach(callback, self) {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }
  *entries() {
    for (const name of [...this.#values.keys()].sort()) {
      if (name === "set-cookie") for (const value of this.#values.get(name)) yield [name, value];
      else yield [name, this.get(name)];
    }
  }
  *keys() {
    for (const [name] of this.entries()) yield name;
  }
  *values() {
    for (const [, value] of this.entries()) yield value;
  }
  [Symbol.iterator]() {
    return this.entries();
  }
}

/** The bytes of a body, and the type that it has by itself. */
function bytesOf(body) {
  if (body === undefined || body === null) return [null, null];
  if (body instanceof URLSearchParams) {
    return [new TextEncoder().encode(`${body}`), "application/x-www-form-urlencoded;charset=UTF-8"];
  }
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return [view(body).slice(), null];
  return [new TextEncoder().encode(`${body}`), "text/plain;charset=UTF-8"];
}

/** What requests and responses have in common. */
class Body {
  #bytes = null;
  #isUsed = false;

  constructor(bytes) {
    this.#bytes = bytes;
  }
  static copy(from) {
    if (from.#isUsed) throw new TypeError("the body was read already");
    return from.#bytes;
  }
  get body() {
    return null;
  }
  get bodyUsed() {
    return this.#isUsed;
  }
  async bytes() {
    if (this.#isUsed) throw new TypeError("the body was read already");
    this.#isUsed = this.#bytes !== null;
    return this.#bytes ?? new Uint8Array(0);
  }
  async arrayBuffer() {
    const bytes = await this.bytes();
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  }
  async text() {
    return new TextDecoder().decode(await this.bytes());
  }
  async json() {
    return JSON.parse(await this.text());
  }
}

class Request extends Body {
  constructor(input, init = {}) {
    const from = input instanceof Request ? input : undefined;
    const [bytes, type] = init.body === undefined && from ? [Body.copy(from), null] : bytesOf(init.body);
    super(bytes);
    const method = `${init.method ?? from?.method ?? "GET"}`;
    this.method = METHODS.includes(method.toUpperCase()) ? method.toUpperCase() : method;
    if (!NAME.test(method) || ["CONNECT", "TRACE", "TRACK"].includes(method.toUpperCase())) {
      throw new TypeError(`fetch does not send the method ${method}`);
    }
    if (bytes !== null && ["GET", "HEAD"].includes(this.method)) {
      throw new TypeError(`a request with ${this.method} has no body`);
    }
    this.url = new URL(from ? from.url : `${input}`).href;
    this.headers = new Headers(init.headers ?? from?.headers);
    if (type !== null && !this.headers.has("content-type")) this.headers.set("content-type", type);
    this.redirect = init.redirect ?? from?.redirect ?? "follow";
    if (!["follow", "error", "manual"].includes(this.redirect)) throw new TypeError("redirect is follow, error or manual");
    this.signal = init.signal ?? from?.signal ?? new AbortController().signal;
  }
  clone() {
    return new Request(this);
  }
}

class Response extends Body {
  constructor(body, init = {}) {
    const status = init.status ?? 200;
    if (!(status >= 200 && status <= 599)) throw new RangeError(`a response has no status ${status}`);
    const [bytes, type] = bytesOf(body);
    if (bytes !== null && NULL_BODY.includes(status)) throw new TypeError(`a response with status ${status} has no body`);
    super(bytes);
    this.status = status;
    this.statusText = init.statusText ?? "";
    this.ok = status >= 200 && status <= 299;
    this.headers = new Headers(init.headers);
    if (type !== null && !this.headers.has("content-type")) this.headers.set("content-type", type);
    this.type = "default";
    this.url = "";
    this.redirected = false;
  }
  clone() {
    const clone = new Response(null, this);
    return Object.assign(Response.#with(clone, Body.copy(this)), { url: this.url, redirected: this.redirected, type: this.type });
  }
  static #with(response, bytes) {
    if (bytes === null) return response;
    const { status, statusText, headers } = response;
    return new Response(bytes, { status, statusText, headers });
  }
  static json(value, init = {}) {
    const headers = new Headers(init.headers);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(JSON.stringify(value), { ...init, headers });
  }
  static redirect(url, status = 302) {
    return new Response(null, { status, headers: { location: new URL(url).href } });
  }
  static received({ status, statusText, headers, body, url, redirected }) {
    const pairs = [];
    for (let place = 0; place < headers.length; place += 2) pairs.push([headers[place], headers[place + 1]]);
    const response = new Response(NULL_BODY.includes(status) ? null : body, { status, statusText, headers: pairs });
    return Object.assign(response, { url, redirected, type: "basic" });
  }
}

export function installFetch(native, answerTo) {
  const { received } = Response;
  delete Response.received;

  async function fetch(input, init) {
    const request = new Request(input, init);
    const { signal } = request;
    signal.throwIfAborted();
    const body = Body.copy(request);
    const headers = [];
    for (const [name, value] of request.headers) headers.push(name, value.toWellFormed());
    const id = native.fetch(request.method, request.url, headers, body === null ? undefined : base64Of(body), request.redirect);
    const aborted = new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        native.cancel(id);
        reject(signal.reason);
      });
    });
    const answer = answerTo(id).catch((message) => {
      throw new TypeError(message);
    });
    return received(await Promise.race([answer, aborted]));
  }
  Object.assign(globalThis, { fetch, Headers, Request, Response });
}
