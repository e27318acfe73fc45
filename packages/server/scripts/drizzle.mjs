// Where drizzle spends the time of short queries, done in fewer steps. What it answers with stays the same; the tests of this
// package run over the changed files too (test/embedded.test.ts).

/** Replaces a piece of a file; a version of drizzle without it stops the build. */
function replaced(text, from, to) {
  if (text.split(from).length !== 2) throw new Error(`drizzle-orm has changed; scripts/drizzle.mjs looks for: ${from}`);
  return text.replace(from, () => to);
}

/** It asks this dozens of times per query, and walks the chain of classes each time: once per class is enough. */
function entity(text) {
  return replaced(text, `  let cls = Object.getPrototypeOf(value).constructor;
  if (cls) {
    while (cls) {
      if (entityKind in cls && cls[entityKind] === type[entityKind]) {
        return true;
      }
      cls = Object.getPrototypeOf(cls);
    }
  }
  return false;
}`, `  const prototype = Object.getPrototypeOf(value);
  let known = verdicts.get(type);
  if (known === undefined) verdicts.set(type, known = new WeakMap());
  let verdict = known.get(prototype);
  if (verdict === undefined) known.set(prototype, verdict = isOfKind(prototype.constructor, type));
  return verdict;
}
const verdicts = new WeakMap();
function isOfKind(cls, type) {
  for (; cls; cls = Object.getPrototypeOf(cls)) {
    if (entityKind in cls && cls[entityKind] === type[entityKind]) return true;
  }
  return false;
}`);
}

/** Iterators of entries, and a list of tables that only drizzle's cache reads. */
function sql(text) {
  const short = replaced(text, `  for (const [paramIndex, param2] of params.entries()) {
    queryChunks.push(param2, new StringChunk(strings[paramIndex + 1]));
  }`, `  for (let i = 0; i < params.length; i++) queryChunks.push(params[i], new StringChunk(strings[i + 1]));`);
  const lazy = replaced(short, `    for (const chunk of queryChunks) {
      if (is(chunk, Table)) {
        const schemaName = chunk[Table.Symbol.Schema];
        this.usedTables.push(
          schemaName === void 0 ? chunk[Table.Symbol.Name] : schemaName + "." + chunk[Table.Symbol.Name]
        );
      }
    }
`, "");
  return replaced(lazy, `  /** @internal */
  usedTables = [];
`, `  /** @internal */
  get usedTables() {
    return this.queryChunks.filter((chunk) => is(chunk, Table)).map((chunk) => {
      const schemaName = chunk[Table.Symbol.Schema];
      return schemaName === void 0 ? chunk[Table.Symbol.Name] : schemaName + "." + chunk[Table.Symbol.Name];
    });
  }
`);
}

/** A value that is no object is no part of a query. */
function conditions(text) {
  return replaced(text, `function bindIfParam(value, column) {
`, `function bindIfParam(value, column) {
  if (value === null || typeof value !== "object" && typeof value !== "function") {
    return isDriverValueEncoder(column) ? new Param(value, column) : value;
  }
`);
}

/** Enums of PostgreSQL are all that the core of drizzle asks of its PostgreSQL part. */
function pgEnum() {
  return `const isPgEnumSym = Symbol.for("drizzle:isPgEnum");
export function isPgEnum(obj) { return !!obj && typeof obj === "function" && isPgEnumSym in obj && obj[isPgEnumSym] === true; }`;
}

export const drizzleFiles = {
  "entity.js": entity,
  "sql/sql.js": sql,
  "sql/expressions/conditions.js": conditions,
  "pg-core/columns/enum.js": pgEnum,
};
