// `console`, written into the call's log.

const { Array, ArrayBuffer, Date, Error, Map, Object, RegExp, Set, String, globalThis: global } = globalThis;
/** How deep objects are shown. */
const DEPTH_MAX = 4;
/** How many entries of one object are shown. */
const ENTRIES_MAX = 100;
/** Longest text of one argument. */
const TEXT_MAX = 16384;

function entries(list, total, open, close) {
  if (total > ENTRIES_MAX) list.push(`… ${total - ENTRIES_MAX} more`);
  return list.length === 0 ? open + close : `${open} ${list.join(", ")} ${close}`;
}

function show(value, depth, parents) {
  switch (typeof value) {
    case "string":
      return depth === 0 ? value : JSON.stringify(value.slice(0, TEXT_MAX));
    case "bigint":
      return `${value}n`;
    case "symbol":
      return String(value);
    case "function":
      return `[Function: ${value.name || "anonymous"}]`;
    case "object":
      return value === null ? "null" : showObject(value, depth, parents);
    default:
      return `${value}`;
  }
}

function showObject(value, depth, parents) {
  if (parents.includes(value)) return "[Circular]";
  if (value instanceof Error) {
    const stack = value.stack ? `\n${value.stack}` : "";
    const cause = value.cause === undefined ? "" : `\ncaused by ${show(value.cause, depth + 1, [...parents, value])}`;
    return `${value.name}: ${value.message}${stack}${cause}`;
  }
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (depth >= DEPTH_MAX) return Array.isArray(value) ? "[Array]" : "[Object]";
  const inner = [...parents, value];
  const one = (item) => show(item, depth + 1, inner);
  if (Array.isArray(value) || (ArrayBuffer.isView(value) && value.length !== undefined)) {
    const list = [];
    for (let place = 0; place < Math.min(value.length, ENTRIES_MAX); place++) list.push(one(value[place]));
    return entries(list, value.length, Array.isArray(value) ? "[" : `${value.constructor.name} [`, "]");
  }
  if (value instanceof Map || value instanceof Set) {
    const list = [];
    for (const item of value) {
      if (list.length === ENTRIES_MAX) break;
      list.push(value instanceof Map ? `${one(item[0])} => ${one(item[1])}` : one(item));
    }
    return entries(list, value.size, value instanceof Map ? "Map {" : "Set {", "}");
  }
  const keys = Object.keys(value);
  const list = keys.slice(0, ENTRIES_MAX).map((key) => `${key}: ${one(value[key])}`);
  const name = value.constructor?.name;
  return entries(list, keys.length, name && name !== "Object" ? `${name} {` : "{", "}");
}

/** Values as one line of a log, as `console.log` writes them. */
export function format(values) {
  return values.map((value) => show(value, 0, []).slice(0, TEXT_MAX)).join(" ");
}

/** Puts `console` in place; gives the function that writes a line. */
export function installConsole(native) {
  const write = (level, values) => {
    let text;
    try {
      text = format(values);
    } catch {
      text = "(what was logged cannot be shown)";
    }
    native.log(level, text);
  };
  const at = (level) => (...values) => write(level, values);
  const counts = new Map();
  const started = new Map();
  global.console = {
    debug: at("debug"),
    trace: at("debug"),
    log: at("info"),
    info: at("info"),
    dir: (value) => write("info", [value]),
    table: (value) => write("info", [value]),
    group: at("info"),
    groupCollapsed: at("info"),
    groupEnd() {},
    warn: at("warn"),
    error: at("error"),
    assert(condition, ...values) {
      if (!condition) write("error", ["Assertion failed:", ...values]);
    },
    count(label = "default") {
      const count = (counts.get(label) ?? 0) + 1;
      counts.set(label, count);
      write("info", [`${label}: ${count}`]);
    },
    countReset: (label = "default") => void counts.delete(label),
    time: (label = "default") => void started.set(label, native.sinceBeginningUs()),
    timeLog: (label = "default") =>
      write("info", [`${label}: ${(native.sinceBeginningUs() - (started.get(label) ?? 0)) / 1000} ms`]),
    timeEnd(label = "default") {
      global.console.timeLog(label);
      started.delete(label);
    },
  };
  return write;
}
