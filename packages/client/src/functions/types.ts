/** What a hub's functions take and give, as the page's compiler sees it. */

/** How a function may be called. `auto`: it is not declared; the hub finds out. */
export type FunctionKind = "query" | "mutation" | "action" | "auto";

/** One function, as JSON carries it: `ferry codegen` writes these. */
export interface FunctionType {
  /** How it may be called. */
  kind: FunctionKind;
  /** Its arguments; optional where they may be left out. */
  args?: unknown;
  /** Its result. */
  result: unknown;
}

/**
 * The project's functions. `.generated/api.d.ts` fills it in, and so types {@link createClient} and the hooks of
 * `@ferry/react`:
 *
 * ```ts
 * declare module "@ferry/client/functions" { interface Register { api: Api } }
 * ```
 */
export interface Register {}

/** Functions of which nothing is known: every name, any arguments, any result. */
export type AnyApi = { [name: string]: { kind: "auto"; args: any; result: any } };

/** The functions of {@link Register}; without it {@link AnyApi}. */
export type RegisteredApi = Register extends { api: infer Api } ? Api : AnyApi;

/** Names of the functions of these kinds. */
export type NameOf<Api, Kind extends FunctionKind> = IsAny<Api> extends true ? keyof Api & string : {
  [Name in keyof Api & string]: Api[Name] extends { kind: infer K } ? (Extract<K, Kind> extends never ? never : Name) : never;
}[keyof Api & string];

/** Whether functions were given as `any`: then everything goes. */
type IsAny<Api> = 0 extends 1 & Api ? true : false;

/** Names of the functions that read. */
export type QueryName<Api = RegisteredApi> = NameOf<Api, "query" | "auto">;

/** Names of the functions that write. */
export type MutationName<Api = RegisteredApi> = NameOf<Api, "mutation" | "action" | "auto">;

/** The arguments of a function; with undefined where they may be left out. */
export type ArgsOf<Api, Name extends keyof Api> = IsAny<Api> extends true ? any
  : Api[Name] extends { args: infer Args } ? Args
  : Api[Name] extends { args?: infer Args } ? Args | undefined
  : never;

/** The result of a function, as JSON carries it: a `Date` is a string. */
export type ResultOf<Api, Name extends keyof Api> = IsAny<Api> extends true ? any : Api[Name] extends { result: infer Result } ? Result : never;

/** Arguments as parameters: they may be left out where the function takes none, or `{}` is enough. */
export type CallParameters<Args, More extends unknown[]> = undefined extends Args ? [args?: Args, ...more: More]
  : {} extends Args ? [args?: Args, ...more: More]
  : [args: Args, ...more: More];
