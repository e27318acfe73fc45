// The clock, timers and `Math.random`: all of them the host's.

const { Map, Object, Reflect, TypeError } = globalThis;
const NativeDate = globalThis.Date;

function installDate(native) {
  const now = () => Math.floor(native.nowUs() / 1000);
  function Date(...values) {
    if (new.target === undefined) return new NativeDate(now()).toString();
    return Reflect.construct(NativeDate, values.length === 0 ? [now()] : values, new.target);
  }
  Object.defineProperty(Date, "prototype", { value: NativeDate.prototype, writable: false });
  Object.defineProperty(Date, "length", { value: 7, configurable: true });
  for (const [name, value] of [["now", now], ["parse", NativeDate.parse], ["UTC", NativeDate.UTC]]) {
    Object.defineProperty(Date, name, { value, writable: true, configurable: true });
  }
  Object.defineProperty(NativeDate.prototype, "constructor", { value: Date, writable: true, configurable: true });
  Object.defineProperty(globalThis, "Date", { value: Date, writable: true, configurable: true });
  return now;
}

/** Puts the clock and timers in place; gives what the host calls of them. */
export function installTime(native, log) {
  const now = installDate(native);
  /** Timers that are set: id → [callback, arguments, interval or undefined, the id that the function knows]. */
  const set = new Map();
  /** Intervals: the id that the function knows → the id of their next turn. */
  const turns = new Map();

  const start = (callback, delay, values, isInterval) => {
    if (typeof callback !== "function") throw new TypeError("a timer's callback is no function");
    const wait = Number.isFinite(+delay) && +delay > 0 ? +delay : 0;
    const id = native.setTimer(wait);
    set.set(id, [callback, values, isInterval ? Math.max(wait, 1) : undefined, id]);
    return id;
  };
  const stop = (id) => {
    const turn = turns.get(id) ?? id;
    turns.delete(id);
    if (set.delete(turn)) native.clearTimer(turn);
  };
  globalThis.setTimeout = (callback, delay, ...values) => start(callback, delay, values, false);
  globalThis.setInterval = (callback, delay, ...values) => start(callback, delay, values, true);
  globalThis.setImmediate = (callback, ...values) => start(callback, 0, values, false);
  globalThis.clearTimeout = globalThis.clearInterval = globalThis.clearImmediate = stop;

  globalThis.performance = {
    now: () => native.sinceBeginningUs() / 1000,
    get timeOrigin() {
      return now() - native.sinceBeginningUs() / 1000;
    },
    mark() {},
    measure() {},
    toJSON: () => ({}),
  };
  Math.random = () => native.random();

  return {
    fire(id) {
      const timer = set.get(id);
      if (timer === undefined) return;
      set.delete(id);
      const [callback, values, interval, known] = timer;
      if (interval !== undefined) {
        const turn = native.setTimer(interval);
        set.set(turn, [callback, values, interval, known]);
        turns.set(known, turn);
      }
      try {
        Reflect.apply(callback, globalThis, values);
      } catch (error) {
        log("error", ["a timer's callback threw:", error]);
      }
    },
    clear() {
      set.clear();
      turns.clear();
    },
  };
}
