/** A page's client in Node, which has no WebSocket before version 22. */

import { WebSocket as NodeWebSocket } from "ws";
import { createClient, type ClientOptions, type FerryClient } from "../../src/functions.ts";

/** The functions of `hub.ts`. */
export type Api = {
  listTodos: { kind: "query"; args: {}; result: Todo[] };
  getTodo: { kind: "query"; args: { id: number }; result: Todo | null };
  needTodo: { kind: "query"; args: { title: string }; result: Todo };
  countTodos: { kind: "query"; args: {}; result: number };
  mine: { kind: "query"; args: {}; result: { sub: string | null; count: number } };
  large: { kind: "query"; args: { bytes: number }; result: { text: string; count: number } };
  many: { kind: "query"; args: {}; result: Todo[] };
  nothing: { kind: "query"; args: {}; result: undefined };
  addTodo: { kind: "mutation"; args: { title: string; owner?: string }; result: Todo };
  touch: { kind: "mutation"; args: {}; result: null };
  fail: { kind: "mutation"; args: { message: string }; result: never };
  sweep: { kind: "action"; args: {}; result: unknown };
  echo: { kind: "auto"; args: any; result: any };
};
export type Todo = { id: number; title: string; owner: string | null };

/** Sockets that were opened. */
export type Counted = { opened: number; open: number };

export function counting(): { counted: Counted; WebSocket: typeof WebSocket } {
  const counted = { opened: 0, open: 0 };
  class Counting extends NodeWebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      this.on("open", () => (counted.opened++, counted.open++, this.on("close", () => counted.open--)));
    }
  }
  return { counted, WebSocket: Counting as unknown as typeof WebSocket };
}

/** A client that is closed at the end of the test. */
export function page(options: ClientOptions): FerryClient<Api> {
  return createClient<Api>({ WebSocket: NodeWebSocket as unknown as typeof WebSocket, ...options });
}
