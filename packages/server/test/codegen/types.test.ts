// Verifies: FUN-01, FUN-02, FUN-73
// What pages see of functions: the types of the JSON that travels.
import { expect, test } from "vitest";
import { apiOf } from "./project.ts";

test("rows of drizzle are what JSON makes of them", () => {
  expect(apiOf(`
export const all = query(async (ctx) => ctx.db.select().from(users));
export const some = query((ctx) => ctx.db.select({ who: users.name, at: users.createdAt }).from(users).all());
export const inferred = query(async (): Promise<typeof users.$inferSelect | null> => null);
export const made = mutation(async (ctx) => ctx.db.insert(posts).values({ title: "x" }).returning({ id: posts.id }));
`)).toMatchInlineSnapshot(`
  "export interface Api {
    all: {
      kind: "query";
      args?: {};
      result: {
        id: number;
        name: string;
        email: string | null;
        createdAt: string;
        balance: string | null;
        photo: string | null;
        settings: { theme: "dark" | "light"; tags?: string[] } | null;
        role: "admin" | "user";
        score: number | null;
      }[];
    };
    inferred: {
      kind: "query";
      args?: {};
      result: {
        balance: string | null;
        createdAt: string;
        email: string | null;
        id: number;
        name: string;
        photo: string | null;
        role: "admin" | "user";
        score: number | null;
        settings: { theme: "dark" | "light"; tags?: string[] } | null;
      } | null;
    };
    made: {
      kind: "mutation";
      args?: {};
      result: { id: number }[];
    };
    some: {
      kind: "query";
      args?: {};
      result: { who: string; at: string }[];
    };
  }"
`);
});

test("relational queries and collections", () => {
  expect(apiOf(`
export const one = query((ctx, args: { id: number }) =>
  ctx.db.query.users.findFirst({ columns: { name: true, createdAt: true }, where: eq(users.id, args.id), with: { posts: true } }));
export const open = query(async (ctx) => {
  const rows = await ctx.db.select().from(todos);
  return rows.map(({ id, title, done }) => ({ id, title, done }));
});
`)).toMatchInlineSnapshot(`
  "export interface Api {
    one: {
      kind: "query";
      args: { id: number };
      result: { createdAt: string; name: string; posts: { authorId: number | null; id: number; title: string }[] } | undefined;
    };
    open: {
      kind: "query";
      args?: {};
      result: { id: string; title: string; done: boolean }[];
    };
  }"
`);
});

test("arguments: required ones stay required, validators say what they take in", () => {
  expect(apiOf(`
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { z } from "zod";
declare const even: StandardSchemaV1<string, number>;
export const none = query(async () => 1);
export const both = query(async (_ctx, args: { id: number; note?: string }) => args.note);
export const maybe = query(async (_ctx, args?: { limit: number }) => args?.limit);
export const checked = mutation({
  args: z.object({ name: z.string(), age: z.number().optional(), tag: z.string().default("x") }),
  handler: async (ctx, { name, age, tag }) => ({ name, age, tag, key: ctx.env.KEY }),
});
export const byHand = query({ args: even, handler: (_ctx, n) => n * 2 });
`)).toMatchInlineSnapshot(`
  "export interface Api {
    both: {
      kind: "query";
      args: { id: number; note?: string };
      result: string | undefined;
    };
    byHand: {
      kind: "query";
      args: string;
      result: number;
    };
    checked: {
      kind: "mutation";
      args: { name: string; age?: number; tag?: string };
      result: { name: string; age?: number; tag: string; key: string };
    };
    maybe: {
      kind: "query";
      args?: { limit: number };
      result: number | undefined;
    };
    none: {
      kind: "query";
      args?: {};
      result: number;
    };
  }"
`);
});

test("only what callers reach is in it, with its kind and its comment", () => {
  expect(apiOf(`
const signedIn = createMiddleware<FerryContext, FerryContext & { user: { sub: string } }>((ctx, _args, next) => {
  if (!ctx.user) throw new Error("UNAUTHORIZED: sign in first");
  return next();
});
export const anonymous = createMiddleware((_ctx, _args, next) => next());
/** Who calls. */
export const me = query(signedIn(async (ctx, args: { long: boolean }) => (args.long ? ctx.user.sub : null)));
export const wrapped = signedIn(mutation((ctx) => ({ sub: ctx.user.sub })));
export const hidden = internal(query(async () => 1));
export const hiddenToo = mutation(internal(async () => 1));
export const hiddenThrough = anonymous(internal(action(async () => 1)));
export const _private = query(async () => 1);
export const send = action(async () => {});
export function plain(_ctx: FerryContext, args: { n: number }): number { return args.n; }
export const LIMIT = 5;
export default plain;
export * from "./more";
`, { "functions/more.ts": `export const more = async () => "more";` })).toMatchInlineSnapshot(`
  "export interface Api {
    /** Who calls. */
    me: {
      kind: "query";
      args: { long: boolean };
      result: string | null;
    };
    more: {
      kind: "auto";
      args?: {};
      result: string;
    };
    plain: {
      kind: "auto";
      args: { n: number };
      result: number;
    };
    send: {
      kind: "action";
      args?: {};
      result: undefined;
    };
    wrapped: {
      kind: "mutation";
      args?: {};
      result: { sub: string };
    };
  }"
`);
});

test("values that are not JSON's", () => {
  expect(apiOf(`
class Money {
  private cents = 1;
  constructor(public amount: number) {}
  get twice() { return this.amount * 2 * this.cents; }
  toString() { return ""; }
}
enum Level { Low, High }
enum Color { Red = "red", Blue = "blue" }
export const values = query(async () => ({
  date: new Date(), big: 1n, bytes: new Uint8Array(1), map: new Map<string, number>(), set: new Set<string>(), re: /x/,
  f: () => 1, nothing: undefined, symbol: Symbol("x"), nan: NaN, money: new Money(1), url: new URL("http://a.b"),
  maybe: undefined as string | undefined, maybeF: undefined as (() => void) | string | undefined,
  list: [] as (Date | undefined)[], pair: [1, "a"] as [number, string?, ...boolean[]], frozen: [1, 2] as const,
  level: Level.Low as Level, color: Color.Red as Color, flag: true as boolean, yes: true as const, id: "x" as string & { __brand: "id" },
  path: "/a" as \`/\${string}\`, any: JSON.parse("1"), unknown: null as unknown, object: {} as object, record: {} as Record<string, Date>,
  "odd-name": 1, both: {} as { a: Date } & { b?: bigint }, later: Promise.resolve(1), [Symbol.iterator]: 1,
}));
export const generic = async <T extends { at: Date }>(_ctx: FerryContext, args: { item: T }) => args.item;
export const gone = mutation(async () => undefined as { id: number } | undefined);
`)).toMatchInlineSnapshot(`
  "export interface Api {
    generic: {
      kind: "auto";
      args: { item: { at: string } };
      result: { at: string };
    };
    gone: {
      kind: "mutation";
      args?: {};
      result: { id: number } | undefined;
    };
    values: {
      kind: "query";
      args?: {};
      result: {
        date: string;
        big: string;
        bytes: string;
        map: {};
        set: {};
        re: {};
        nan: number;
        money: { amount: number };
        url: string;
        maybe?: string;
        maybeF?: string;
        list: (string | null)[];
        pair: [number, (string | null)?, ...boolean[]];
        frozen: [1, 2];
        level: 0 | 1;
        color: "blue" | "red";
        flag: boolean;
        yes: true;
        id: string;
        path: \`/\${string}\`;
        any: any;
        unknown: unknown;
        object: unknown;
        record: { [key: string]: string };
        "odd-name": number;
        both: { a: string; b?: string };
        later: {};
      };
    };
  }"
`);
});

test("types that contain themselves have names", () => {
  expect(apiOf(`
type Tree = { at: Date; children: Tree[]; parent?: Tree };
type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
type Api = { next: Api | null };
export const tree = query(async (): Promise<Tree> => ({ at: new Date(), children: [] }));
export const echo = query(async (_ctx, args: { json: Json; tree: Tree }) => args.json);
export const taken = query(async (): Promise<Api> => ({ next: null }));
`)).toMatchInlineSnapshot(`
  "export interface Api {
    echo: {
      kind: "query";
      args: { json: Json; tree: Tree };
      result: Json;
    };
    taken: {
      kind: "query";
      args?: {};
      result: Api2;
    };
    tree: {
      kind: "query";
      args?: {};
      result: Tree;
    };
  }

  export type Json = Json[] | boolean | number | string | { [key: string]: Json } | null;

  export type Tree = { at: string; children: Tree[]; parent?: Tree };

  export type Api2 = { next: Api2 | null };"
`);
});

test("types without end are cut off", () => {
  const api = apiOf(`
type Endless<T> = { value: T; next: Endless<[T]> | null };
export const endless = query(async (): Promise<Endless<1> | null> => null);
`);
  expect(api).toContain("next: unknown");
});
