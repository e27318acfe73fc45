// EventTarget, Event, AbortController and AbortSignal (DOM standard), as far as servers use them.

const { DOMException, Map, Object, Promise, Set, TypeError } = globalThis;

class Event {
  constructor(type, init = {}) {
    this.type = `${type}`;
    this.bubbles = !!init.bubbles;
    this.cancelable = !!init.cancelable;
    this.defaultPrevented = false;
    this.target = this.currentTarget = null;
  }
  preventDefault() {
    if (this.cancelable) this.defaultPrevented = true;
  }
  stopPropagation() {}
  stopImmediatePropagation() {
    this.isStopped = true;
  }
}

class CustomEvent extends Event {
  constructor(type, init = {}) {
    super(type, init);
    this.detail = init.detail ?? null;
  }
}

class EventTarget {
  #listeners = new Map();

  addEventListener(type, listener, options) {
    if (listener === null || listener === undefined) return;
    const list = this.#listeners.get(type) ?? [];
    if (list.some((one) => one.listener === listener)) return;
    this.#listeners.set(type, [...list, { listener, isOnce: typeof options === "object" && !!options?.once }]);
  }
  removeEventListener(type, listener) {
    this.#listeners.set(type, (this.#listeners.get(type) ?? []).filter((one) => one.listener !== listener));
  }
  dispatchEvent(event) {
    event.target = event.currentTarget = this;
    const handler = this[`on${event.type}`];
    if (typeof handler === "function") handler.call(this, event);
    for (const { listener, isOnce } of this.#listeners.get(event.type) ?? []) {
      if (event.isStopped) break;
      if (isOnce) this.removeEventListener(event.type, listener);
      if (typeof listener === "function") listener.call(this, event);
      else listener.handleEvent(event);
    }
    return !event.defaultPrevented;
  }
}

const key = {};

class AbortSignal extends EventTarget {
  #reason;
  #isAborted = false;
  onabort = null;

  constructor(given) {
    if (given !== key) throw new TypeError("Illegal constructor");
    super();
  }
  get aborted() {
    return this.#isAborted;
  }
  get reason() {
    return this.#reason;
  }
  throwIfAborted() {
    if (this.#isAborted) throw this.#reason;
  }
  static abort(reason) {
    const signal = new AbortSignal(key);
    AbortSignal.end(key, signal, reason);
    return signal;
  }
  static timeout(delay) {
    const signal = new AbortSignal(key);
    const end = () => AbortSignal.end(key, signal, new DOMException("The operation timed out.", "TimeoutError"));
    setTimeout(end, delay);
    return signal;
  }
  static any(signals) {
    const signal = new AbortSignal(key);
    for (const one of signals) {
      if (one.aborted) return AbortSignal.abort(one.reason);
      one.addEventListener("abort", () => AbortSignal.end(key, signal, one.reason));
    }
    return signal;
  }
  static end(given, signal, reason) {
    if (given !== key || signal.#isAborted) return;
    signal.#isAborted = true;
    signal.#reason = reason ?? new DOMException("This operation was aborted", "AbortError");
    signal.dispatchEvent(new Event("abort"));
  }
}

class AbortController {
  #signal = new AbortSignal(key);
  get signal() {
    return this.#signal;
  }
  abort(reason) {
    AbortSignal.end(key, this.#signal, reason);
  }
}

export function installEvents() {
  Object.assign(globalThis, { Event, CustomEvent, EventTarget, AbortSignal, AbortController });
}
