// Ferry's side of a context: what the host calls, and how the globals are put in place.
import { installConsole } from "ferry:prelude/console";
import { makeHost } from "ferry:prelude/host";
import { installTime } from "ferry:prelude/time";

const { Promise, Map, TypeError, Object } = globalThis;
const { defineProperty, getPrototypeOf } = Object;

/** Code from text is compiled without a look at the clock, and nothing needs it. */
function closeEval() {
  const refuse = () => {
    throw new TypeError("code from text is not available in functions");
  };
  globalThis.eval = refuse;
  const makers = [function () {}, async function () {}, function* () {}, async function* () {}];
  for (const maker of makers) {
    const prototype = getPrototypeOf(maker);
    const replacement = { [prototype.constructor.name]: function () { refuse(); } }[prototype.constructor.name];
    defineProperty(replacement, "prototype", { value: prototype });
    defineProperty(prototype, "constructor", { value: replacement, configurable: true, writable: true });
  }
  globalThis.Function = (function () {}).constructor;
}

export function install(native) {
  /** Answers that are awaited, by the ids of their asks: [resolve, reject]. */
  const awaited = new Map();
  const answerTo = (id) => new Promise((resolve, reject) => awaited.set(id, [resolve, reject]));

  closeEval();
  delete globalThis.SharedArrayBuffer;
  delete globalThis.Atomics;
  const log = installConsole(native);
  const timers = installTime(native, log);
  const host = makeHost(native, answerTo);

  let functions;
  const kernel = {
    /** Set by the host: the namespace of `ferry:runtime`. */
    runtime: undefined,
    /** The program is evaluated. */
    load(namespace) {
      functions = namespace;
    },
    inspect: () => kernel.runtime.inspect(functions),
    /** Starts a handler. */
    begin: (name, request) =>
      new Promise((resolve) => resolve(kernel.runtime.call(functions, name, request, host))),
    /** The answer to an ask. */
    answer(id, isGood, value) {
      const waiting = awaited.get(id);
      awaited.delete(id);
      if (waiting !== undefined) waiting[isGood ? 0 : 1](value);
    },
    /** A timer is due. */
    fire: (id) => timers.fire(id),
    /** The handler has settled. */
    end() {
      awaited.clear();
      timers.clear();
    },
  };
  return kernel;
}
