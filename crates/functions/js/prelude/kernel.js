// Ferry's side of a context: what the host calls, and how the globals are put in place.
import { closeEval, guardBuiltins } from "ferry:prelude/builtins";
import { installClone } from "ferry:prelude/clone";
import { installConsole } from "ferry:prelude/console";
import { installCrypto } from "ferry:prelude/crypto";
import { installEncoding, installUrl } from "ferry:prelude/encoding";
import { installEvents } from "ferry:prelude/events";
import { installFetch } from "ferry:prelude/fetch";
import { makeHost } from "ferry:prelude/host";
import { installTime } from "ferry:prelude/time";

const { Array, Promise, Map } = globalThis;
const { isArray } = Array;

export function install(native) {
  /** Answers that are awaited, by the ids of their asks: [resolve, reject]. */
  const awaited = new Map();
  const answerTo = (id) => new Promise((resolve, reject) => awaited.set(id, [resolve, reject]));

  const log = installConsole(native);
  const timers = installTime(native, log);
  installEvents();
  installEncoding(native);
  installUrl(native);
  installFetch(native, answerTo);
  installClone();
  installCrypto(native);
  guardBuiltins(native);
  closeEval();
  const host = makeHost(native, answerTo);

  let functions;
  const kernel = {
    /** Set by the host: the namespace of `ferry:runtime`. */
    runtime: undefined,
    /** The program is evaluated. */
    load(namespace) {
      functions = namespace;
    },
    isArray,
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
