import { declaredOf, isWrapper } from "../kinds.ts";
import { schemaJson } from "./schema-json.ts";

/** The namespace of a deployed bundle. */
export interface Program {
  _ferry_schema?: Record<string, unknown>;
  _ferry_hooks?: Record<string, unknown>;
  [name: string]: any;
}

const HOOKS = ["validatePayload", "onPush", "onPull", "onPushed"];

type AnyFunction = (ctx: unknown, args: unknown) => unknown;

/** What callers may name (FUN-01). */
export function functionOf(program: Program, name: string): AnyFunction | undefined {
  if (name === "default" || name.startsWith("_") || name.includes(":") || !Object.hasOwn(program, name)) return undefined;
  const value: unknown = program[name];
  return typeof value === "function" && !isWrapper(value) ? (value as AnyFunction) : undefined;
}

/** The schema of a program; what is there and is none must not count as an empty one, by which all tables would go. */
function declaredSchema(program: Program) {
  if (!("_ferry_schema" in program)) return null;
  const declared: unknown = program._ferry_schema;
  if (typeof declared !== "object" || declared === null || Array.isArray(declared)) {
    throw new Error("the bundle's export _ferry_schema is no module: make it by `export * as _ferry_schema from \"./schema\"`");
  }
  const schema = schemaJson(declared as Record<string, unknown>);
  const names = Object.keys(declared);
  if (names.length > 0 && schema.tables.length + schema.views.length + schema.collections.length === 0) {
    throw new Error(
      `the schema exports no table, view or collection, only ${names.slice(0, 10).join(", ")}: export what table(), view() and collection() of @ferry/server/schema make, or leave the schema out`,
    );
  }
  return schema;
}

/** What a program consists of, as JSON. */
export function inspect(program: Program): string {
  const functions = Object.keys(program).flatMap((name) => {
    const value = functionOf(program, name);
    return value ? [{ name, ...declaredOf(value) }] : [];
  });
  const hooks = HOOKS.filter((name) => typeof program._ferry_hooks?.[name] === "function");
  const schema = declaredSchema(program);
  return JSON.stringify({ functions, hooks, schema });
}
