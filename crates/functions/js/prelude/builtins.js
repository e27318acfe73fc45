// What the language brings, made safe to run for strangers: no code from text, no shared memory, and no builtin that works
// for long without a look at the clock. The engine looks at it at calls, loops and in most builtins, but not in these, and
// only every 10,000th time: a builtin that works for milliseconds is to look by itself.

const { Array, JSON, Object, RangeError, String, TypeError, Uint8Array } = globalThis;
const { isArray } = Array;
const { defineProperty, getPrototypeOf } = Object;
const { apply } = Reflect;
const { call } = Function.prototype;
const bind = call.bind(Function.prototype.bind);
/** Longest array that a builtin walks: more elements than any heap holds. */
const LENGTH_MAX = 1 << 24;
/** From this length on a builtin's work is worth a look at the clock. */
const LOOK_MIN = 2048;

/** Builtins of arrays that walk all elements; with as many arguments as come. */
const OF_ARRAYS_ANY = ["concat", "lastIndexOf", "splice", "toSpliced", "unshift"];
/** The same; an argument that is missing is as good as undefined. */
const OF_ARRAYS = [
  "copyWithin", "fill", "includes", "indexOf", "join", "reverse", "shift", "slice", "sort", "toReversed", "toSorted",
];
/** Those of strings that search or rewrite. */
const OF_STRINGS = [
  "includes", "indexOf", "lastIndexOf", "localeCompare", "normalize", "padEnd", "padStart", "repeat", "replace", "replaceAll",
  "split", "toLowerCase", "toUpperCase",
];

/** Those of typed arrays. */
const OF_TYPED_ARRAYS = [
  "copyWithin", "fill", "includes", "indexOf", "join", "lastIndexOf", "reverse", "set", "slice", "sort", "toReversed", "toSorted",
];

function put(object, name, replacement) {
  const native = object[name];
  defineProperty(replacement, "name", { value: name, configurable: true });
  defineProperty(replacement, "length", { value: native.length, configurable: true });
  defineProperty(object, name, { value: replacement, writable: true, configurable: true });
}

/** A builtin as a function of `this` and its arguments. */
const uncurried = (builtin) => bind(call, builtin);

/** Wraps the builtins whose work grows with their input. */
export function guardBuiltins(native) {
  delete globalThis.SharedArrayBuffer;
  delete globalThis.Atomics;
  const { look } = native;
  const guard = (length) => {
    look();
    if (length > LENGTH_MAX) throw new RangeError("the array is too long for a function");
  };
  for (const name of OF_ARRAYS) {
    const builtin = uncurried(Array.prototype[name]);
    const { [name]: replacement } = {
      [name](a, b, c) {
        if (this?.length > LOOK_MIN) guard(this.length);
        return builtin(this, a, b, c);
      },
    };
    put(Array.prototype, name, replacement);
  }
  for (const name of OF_ARRAYS_ANY) {
    const builtin = Array.prototype[name];
    const { [name]: replacement } = {
      [name](...values) {
        if (this?.length > LOOK_MIN) guard(this.length);
        if (name === "concat") for (const value of values) if (value?.length > LOOK_MIN) guard(value.length);
        return apply(builtin, this, values);
      },
    };
    put(Array.prototype, name, replacement);
  }
  for (const name of OF_STRINGS) {
    const builtin = uncurried(String.prototype[name]);
    const { [name]: replacement } = {
      [name](a, b) {
        if (this?.length > LOOK_MIN || a > LOOK_MIN) look();
        return builtin(this, a, b);
      },
    };
    put(String.prototype, name, replacement);
  }
  // Of typed arrays, whose length their memory bounds.
  const typed = getPrototypeOf(Uint8Array.prototype);
  for (const name of OF_TYPED_ARRAYS) {
    const builtin = typed[name];
    const { [name]: replacement } = {
      [name](...values) {
        if (this?.length > LOOK_MIN) look();
        return apply(builtin, this, values);
      },
    };
    put(typed, name, replacement);
  }
  // An array that holds itself twice and again is flattened without end and without a look.
  const flatten = (into, array, depth) => {
    for (let place = 0; place < array.length; place++) {
      if (!(place in array)) continue;
      const value = array[place];
      if (depth > 0 && isArray(value)) flatten(into, value, depth - 1);
      else into[into.length] = value;
    }
    return into;
  };
  const { flat } = {
    flat(depth = 1) {
      return flatten([], Object(this), +depth || 0);
    },
  };
  put(Array.prototype, "flat", flat);

  const parse = uncurried(JSON.parse);
  const stringify = uncurried(JSON.stringify);
  put(JSON, "parse", (text, reviver) => {
    if (!(text?.length < LOOK_MIN)) look();
    return parse(JSON, text, reviver);
  });
  /** A replacer makes the engine look at the clock: calls do. */
  const replacerOf = (replacer) => {
    if (typeof replacer === "function") return replacer;
    if (!isArray(replacer)) return (_, value) => value;
    const names = [...replacer].map((name) => `${name}`);
    return function (key, value) {
      return key === "" || isArray(this) || names.includes(key) ? value : undefined;
    };
  };
  put(JSON, "stringify", (value, replacer, space) => {
    if (typeof value !== "object") return stringify(JSON, value, replacer, space);
    look();
    return stringify(JSON, value, replacerOf(replacer), space);
  });
}

/** Code from text is compiled without a look at the clock, and nothing needs it. */
export function closeEval() {
  const refuse = () => {
    throw new TypeError("code from text is not available in functions");
  };
  globalThis.eval = refuse;
  const makers = [function () {}, async function () {}, function* () {}, async function* () {}];
  for (const maker of makers) {
    const prototype = getPrototypeOf(maker);
    const { name } = prototype.constructor;
    const replacement = { [name]: function () { refuse(); } }[name];
    defineProperty(replacement, "prototype", { value: prototype });
    defineProperty(prototype, "constructor", { value: replacement, configurable: true, writable: true });
  }
  globalThis.Function = (function () {}).constructor;
}
