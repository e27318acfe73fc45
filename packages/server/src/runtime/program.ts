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

/** What a program consists of, as JSON. */
export function inspect(program: Program): string {
  const functions = Object.keys(program).flatMap((name) => {
    const value = functionOf(program, name);
    return value ? [{ name, ...declaredOf(value) }] : [];
  });
  const hooks = HOOKS.filter((name) => typeof program._ferry_hooks?.[name] === "function");
  const schema = program._ferry_schema ? schemaJson(program._ferry_schema) : null;
  return JSON.stringify({ functions, hooks, schema });
}
