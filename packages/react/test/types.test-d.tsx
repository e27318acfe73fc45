// What the compiler says of pages (`npm run check`): FUN-73.
import { createClient } from "@ferry/client/functions";
import { useMutation, useQuery } from "../src/index.ts";

export interface Api {
  listTodos: { kind: "query"; args: {}; result: { id: number; title: string; createdAt: string }[] };
  getTodo: { kind: "query"; args: { id: number }; result: { id: number; title: string } | null };
  addTodo: { kind: "mutation"; args: { title: string; note?: string }; result: { id: number } };
  sweep: { kind: "action"; args: {}; result: void };
  left: { kind: "query"; args?: { limit: number }; result: number };
  none: { kind: "mutation"; args?: {}; result: string };
  plain: { kind: "auto"; args: { x: number }; result: number };
}
declare module "@ferry/client/functions" {
  interface Register {
    api: Api;
  }
}

export async function client(): Promise<void> {
  const client = createClient({ url: "http://hub" });
  const todos = await client.query("listTodos");
  todos[0]!.title.toUpperCase();
  await client.query("getTodo", { id: 1 }, { signal: AbortSignal.timeout(1) });
  await client.mutate("addTodo", { title: "x" }, { idempotencyKey: true });
  await client.mutate("sweep");
  await client.mutate("plain", { x: 1 });
  client.subscribe("getTodo", { id: 1 }, ({ data }) => data?.title);
  await client.mutate("addTodo", { title: "x" }, { optimistic: (cache) => cache.update("listTodos", {}, (all) => [...all, { id: 0, title: "x", createdAt: "" }]) });
  await client.query("left");
  await client.query("left", { limit: 1 });
  await client.mutate("none");
  client.subscribe("left", undefined, ({ data }) => data?.toFixed());
  client.subscribe("left", { limit: 1 }, () => {});
  // @ts-expect-error
  await client.query("left", { limit: "1" });
  // @ts-expect-error: a column that was renamed
  todos[0]!.name;
  // @ts-expect-error: required arguments stay required
  await client.query("getTodo");
  // @ts-expect-error
  await client.query("getTodo", { id: "1" });
  // @ts-expect-error: a mutation is no query
  await client.query("addTodo", { title: "x" });
  // @ts-expect-error: a query is no mutation
  await client.mutate("listTodos");
  // @ts-expect-error: there is no such function
  await client.query("missing");
  // @ts-expect-error: the list's rows have more members
  await client.mutate("addTodo", { title: "x" }, { optimistic: (cache) => cache.update("listTodos", {}, (all) => [...all, { id: 0 }]) });

  const other = createClient<{ other: { kind: "query"; args: { a: 1 }; result: "b" } }>({ url: "http://hub" });
  const b: "b" = await other.query("other", { a: 1 });
  void b;
}

export function Page(): unknown {
  const list = useQuery("listTodos");
  const maybe = useQuery("getTodo", Math.random() > 0.5 ? { id: 1 } : "skip");
  const { data } = useQuery("getTodo", { id: 1 }, { suspense: true });
  const add = useMutation("addTodo", { optimistic: (cache, { title }) => cache.update("getTodo", { id: 1 }, (todo) => todo && { ...todo, title }) });
  useQuery("left");
  useQuery("left", "skip").data?.toFixed();
  useQuery("left", undefined, { suspense: true }).data.toFixed();
  useMutation("none", { optimistic: (_, args) => Object.keys(args) })().then((text) => text.length);
  // @ts-expect-error: data is undefined while it loads
  list.data.length;
  // @ts-expect-error: arguments are missing
  useQuery("getTodo");
  // @ts-expect-error
  void add({ tittle: "x" });
  void add({ title: "x" }).then(({ id }) => id.toFixed());
  return [list.data?.[0]?.createdAt, maybe.data?.title, data?.title, add.isPending, add.error?.requestId];
}
