// What no real hub does on demand: frames and answers out of order, silence, a device that sleeps.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createClient, type FerryClient, type QueryResult } from "../../src/functions.ts";
import { canonical } from "../../src/functions/canonical.ts";
import { userOfJwt as userOf } from "../../src/functions/tokens.ts";

class Socket {
  static all: Socket[] = [];
  sent: any[] = [];
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onclose?: (event: { code: number; reason: string }) => void;
  isClosed = false;
  constructor(readonly url: string, readonly protocols: string[]) {
    Socket.all.push(this);
  }
  send(text: string) {
    this.sent.push(text === "ping" ? text : JSON.parse(text));
  }
  close() {
    this.isClosed = true;
  }
  tell(frame: object | string) {
    this.onmessage!({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }
  /** Opens, and gives the first result. */
  async serve() {
    this.onopen!();
    await settled();
    for (const { type, id } of this.sent) if (type === "sub") this.tell({ type: "result", id, seq: 10, hash: "h10", data: "ten" });
  }
}
const newest = () => Socket.all.at(-1)!;
const settled = () => vi.advanceTimersByTimeAsync(0);

type Api = { q: { kind: "query"; args: { a?: number }; result: string }; m: { kind: "mutation"; args: {}; result: string } };
let client: FerryClient<Api>;
let answers: ((url: string, init: RequestInit) => Response | Promise<Response>)[];
let events: EventTarget;

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(1);
  events = new EventTarget();
  vi.stubGlobal("addEventListener", events.addEventListener.bind(events));
  Socket.all = [];
  answers = [];
});
afterEach(() => {
  client.close();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function open(getToken?: (refused?: string) => string | Promise<string>): QueryResult<string>[] {
  const fetch = async (url: unknown, init: unknown) => (answers.shift() ?? (() => new Response("", { status: 426 })))(String(url), init as RequestInit);
  client = createClient<Api>({
    url: "http://hub/base/", key: "k&", fetch: fetch as typeof globalThis.fetch, WebSocket: Socket as unknown as typeof WebSocket, ...(getToken && { getToken }),
  });
  const seen: QueryResult<string>[] = [];
  client.subscribe("q", {}, (result) => seen.push(result));
  return seen;
}
const answer = (seq: number, data: string) => () => Response.json({ success: true, data, _meta: { seq, hash: `h${seq}` } }, { headers: { "Ferry-Seq": String(seq) } });

// Verifies: FUN-74, FUN-36
test("the socket's address, and what it is asked", async () => {
  open(() => "t.o.ken");
  await settled();
  expect(newest().url).toMatch(/^ws:\/\/hub\/base\/ws\?sessionId=[0-9a-f]{32}&key=k%26$/);
  expect(newest().protocols).toEqual(["ferry.functions.v1", "ferry.bearer.t.o.ken"]);
  await newest().serve();
  expect(newest().sent).toEqual([{ type: "auth", token: "t.o.ken" }, { type: "sub", id: "1", fn: "q", args: {} }]);
  newest().onclose!({ code: 1001, reason: "the hub is stopping" });
  await vi.advanceTimersByTimeAsync(500);
  newest().onopen!();
  expect(newest().sent[1], "what is held is named").toEqual({ type: "sub", id: "1", fn: "q", args: {}, known: "h10" });
});

// Verifies: FUN-74, FUN-36
test("a result that is older than what is shown comes too late", async () => {
  const seen = open();
  await settled();
  await newest().serve();
  let release!: (response: Response) => void;
  answers = [() => new Promise<Response>((resolve) => (release = resolve))];
  newest().tell({ type: "stale", id: "1", seq: 11 });
  await settled();
  newest().tell({ type: "result", id: "1", seq: 13, hash: "h13", data: "thirteen" });
  release(answer(11, "eleven")());
  await settled();
  newest().tell({ type: "result", id: "1", seq: 12, hash: "h12", data: "twelve" });
  expect(seen.map(({ data }) => data)).toEqual([undefined, "ten", "thirteen"]);
});

// A hub whose data were put back, or made anew, counts from a lower number.
// Verifies: FUN-74, FUN-76
test("after a new connection results count anew, and no guess waits for a number of the old count", async () => {
  const seen = open();
  await settled();
  await newest().serve();
  answers = [answer(500, "done")];
  await client.mutate("m", {}, { optimistic: (cache) => cache.update("q", {}, (text) => `${text}!`) });
  expect(seen.at(-1)!.data).toBe("ten!");
  newest().onclose!({ code: 1001, reason: "the hub is stopping" });
  await vi.advanceTimersByTimeAsync(500);
  newest().onopen!();
  newest().tell({ type: "result", id: "1", seq: 3, hash: "h3", data: "three" });
  expect(seen.at(-1)).toMatchObject({ data: "three", isStale: false });
});

// Verifies: FUN-36
test("what is fetched shows at least the commit that was told, and one fetch serves many", async () => {
  const seen = open();
  await settled();
  await newest().serve();
  const asked: unknown[] = [];
  const served = (seq: number, data: string) => (url: string, { headers }: RequestInit) => {
    const { "Ferry-Min-Seq": least, "If-None-Match": known, "Ferry-Key": key } = headers as Record<string, string>;
    asked.push([url, least, known, key]);
    return answer(seq, data)();
  };
  answers = [served(11, "eleven"), served(14, "fourteen")];
  for (const seq of [11, 12, 13, 14]) newest().tell({ type: "stale", id: "1", seq });
  await settled();
  expect(asked).toEqual([["http://hub/base/rpc/q?args=%7B%7D", "11", '"h10"', "k&"], ["http://hub/base/rpc/q?args=%7B%7D", "14", '"h11"', "k&"]]);
  expect(seen.at(-1)!.data).toBe("fourteen");
  answers = [() => new Response(null, { status: 304, headers: { "Ferry-Seq": "15" } })];
  newest().tell({ type: "stale", id: "1", seq: 15 });
  await settled();
  expect(seen).toHaveLength(4);
});

// Verifies: FUN-36
test("the same as a result that is not held any more is asked for whole", async () => {
  const seen = open();
  await settled();
  await newest().serve();
  newest().tell({ type: "result", id: "1", seq: 12, hash: "other", same: true });
  expect(newest().sent.at(-1)).toMatchObject({ type: "sub", id: "1", known: "" });
  newest().tell({ type: "result", id: "1", seq: 12, hash: "other", data: "twelve" });
  expect(seen.at(-1)!.data).toBe("twelve");
});

// Verifies: FUN-74
test("a silent hub is asked after 25 seconds and left after 10 more", async () => {
  const seen = open();
  await settled();
  await newest().serve();
  const first = newest();
  await vi.advanceTimersByTimeAsync(24_000);
  first.tell({ action: "invalidate", tables: [] });
  await vi.advanceTimersByTimeAsync(24_999);
  expect(first.sent).not.toContain("ping");
  await vi.advanceTimersByTimeAsync(1);
  expect(first.sent.at(-1)).toBe("ping");
  first.tell("pong");
  await vi.advanceTimersByTimeAsync(34_999);
  expect([first.isClosed, client.status.get().state]).toEqual([false, "live"]);
  await vi.advanceTimersByTimeAsync(1);
  expect([first.isClosed, client.status.get().state, seen.at(-1)!.isStale]).toEqual([true, "connecting", true]);
  await vi.advanceTimersByTimeAsync(500);
  expect(Socket.all).toHaveLength(2);
  first.tell({ type: "result", id: "1", seq: 99, hash: "h99", data: "from a dead socket" });
  await newest().serve();
  expect(seen.at(-1)).toMatchObject({ data: "ten", isStale: false });
});

// Verifies: FUN-74
test("a device that has slept connects anew at once", async () => {
  open();
  await settled();
  await newest().serve();
  // Timers stand still while the device sleeps; its clock does not.
  vi.setSystemTime(Date.now() + 3_600_000);
  await vi.advanceTimersByTimeAsync(25_000);
  expect(Socket.all).toHaveLength(2);
  await newest().serve();
  expect(client.status.get()).toEqual({ state: "live" });
});

// Verifies: FUN-74
test("a page that is looked at again after minutes of silence connects anew at once", async () => {
  open();
  await settled();
  await newest().serve();
  vi.setSystemTime(Date.now() + 10_000);
  events.dispatchEvent(new Event("pageshow"));
  expect([Socket.all.length, newest().sent.at(-1)]).toEqual([1, "ping"]);
  vi.setSystemTime(Date.now() + 200_000);
  events.dispatchEvent(new Event("pageshow"));
  await settled();
  expect(Socket.all).toHaveLength(2);
});

// Verifies: FUN-74
test("a socket that the page's own security forbids is told", async () => {
  vi.stubGlobal("WebSocket", function () { throw new DOMException("insecure from https", "SecurityError"); });
  client = createClient<Api>({ url: "http://hub" });
  client.subscribe("q", {}, () => {});
  await settled();
  expect(client.status.get()).toEqual({ state: "error", code: "WEBSOCKET", message: "ferry: insecure from https" });
  client.close();
  vi.stubGlobal("WebSocket", undefined);
  client = createClient<Api>({ url: "http://hub" });
  client.subscribe("q", {}, () => {});
  await settled();
  expect(client.status.get().message).toBe("ferry: there is no WebSocket here: give one to createClient({ WebSocket })");
});

// Verifies: FUN-76
test("what was asked for in advance stays while a component waits for more, and goes when it does not come", async () => {
  open();
  await settled();
  const ready = client.observe("q", { a: 1 }).ready();
  newest().onopen!();
  newest().tell({ type: "result", id: "2", seq: 1, hash: "h", data: "in advance" });
  await ready;
  await vi.advanceTimersByTimeAsync(20_000);
  expect(client.observe("q", { a: 1 }).get().data).toBe("in advance");
  newest().tell("pong");
  const end = client.subscribe("q", { a: 1 }, () => {});
  await vi.advanceTimersByTimeAsync(20_000);
  expect(client.observe("q", { a: 1 }).get().data).toBe("in advance");
  end();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(newest().sent.at(-1)).toEqual({ type: "unsub", id: "2" });
});

// Verifies: FUN-74
test("tries come ever more rarely, and at once when the network is back", async () => {
  open();
  await settled();
  const refused = () => {
    answers = [() => Promise.reject(new TypeError("fetch failed"))];
    newest().onclose!({ code: 1006, reason: "" });
    return settled();
  };
  const waits: number[] = [];
  for (let at = 0; at < 9; at++) {
    await refused();
    const [count, begun] = [Socket.all.length, Date.now()];
    while (Socket.all.length === count) await vi.advanceTimersByTimeAsync(100);
    waits.push(Date.now() - begun);
  }
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  expect(client.status.get()).toMatchObject({ state: "offline", code: "OFFLINE", message: "ferry: the hub cannot be reached at http://hub/base: fetch failed" });
  await refused();
  const count = Socket.all.length;
  events.dispatchEvent(new Event("online"));
  await settled();
  expect(Socket.all).toHaveLength(count + 1);
});

// Verifies: FUN-74
test("where no WebSocket gets through, results are fetched at each try", async () => {
  const seen = open();
  await settled();
  const blocked = async () => {
    newest().onclose!({ code: 1006, reason: "" });
    await vi.advanceTimersByTimeAsync(5_000);
  };
  await blocked();
  await blocked();
  answers = [() => new Response("", { status: 426 }), answer(20, "twenty")];
  await blocked();
  expect(client.status.get()).toMatchObject({ state: "error", code: "WEBSOCKET" });
  expect(seen.at(-1)).toMatchObject({ data: "twenty", isStale: true });
});

// Verifies: FUN-74
test("a new token is sent over the open socket, also where clocks differ or the hub refuses it", async () => {
  const given = ["t1", "t1", "t2", "t3", "t4"];
  const asked: (string | undefined)[] = [];
  open((refused) => (asked.push(refused), given.shift()!));
  await settled();
  await newest().serve();
  const auths = () => newest().sent.filter(({ type }) => type === "auth").map(({ token }) => token);
  const exp = () => Math.floor(Date.now() / 1000) + 3600;
  newest().tell({ type: "auth", ok: true, exp: exp() });
  await vi.advanceTimersByTimeAsync(3_538_000);
  expect(asked).toEqual([undefined]);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(asked, "a minute before; the same one came").toEqual([undefined, "t1"]);
  newest().tell("pong");
  await vi.advanceTimersByTimeAsync(20_000);
  // The tokens are of a kind that names nobody: each may be another user's, and gets a socket of its own.
  expect([auths(), newest().protocols[1]]).toEqual([[], "ferry.bearer.t2"]);
  await newest().serve();
  newest().tell({ type: "auth", ok: true, exp: 1 });
  await vi.advanceTimersByTimeAsync(19_000);
  expect(asked).toHaveLength(3);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(newest().protocols[1]).toBe("ferry.bearer.t3");
  await newest().serve();
  newest().tell({ type: "auth", ok: false, error: "Token expired" });
  await settled();
  expect(newest().protocols[1]).toBe("ferry.bearer.t4");
});

// Verifies: FUN-75
test("nobody is told after he has ended his subscription, not even while others are told", async () => {
  open();
  await settled();
  const told: string[] = [];
  const ends = ["a", "b"].map((name) => client.subscribe("q", {}, ({ isLoading }) => {
    if (isLoading) return;
    told.push(name);
    for (const end of ends) end();
  }));
  await newest().serve();
  expect(told).toEqual(["a"]);
});

// Verifies: FUN-74
test("a renewed token that the hub refuses is renewed once more", async () => {
  const jwt = (n: number) => `h.${btoa(JSON.stringify({ sub: "ada", n }))}.s`;
  let n = 0;
  const asked: (string | undefined)[] = [];
  open((refused) => (asked.push(refused), jwt(n++)));
  await settled();
  await newest().serve();
  newest().tell({ type: "auth", ok: true, exp: Math.floor(Date.now() / 1000) + 4 });
  await vi.advanceTimersByTimeAsync(4_000);
  expect(newest().sent.at(-1)).toEqual({ type: "auth", token: jwt(1) });
  newest().tell({ type: "auth", ok: false, error: "Token expired" });
  await settled();
  expect(asked).toEqual([undefined, jwt(0), jwt(1)]);
  expect(newest().sent.at(-1)).toEqual({ type: "auth", token: jwt(2) });
  expect(Socket.all).toHaveLength(1);
});

// Verifies: FUN-75
test("a call's user is a token's subject, else all that it claims", () => {
  const jwt = (claims: object) => `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;
  expect(userOf(jwt({ sub: "ada", exp: 1 }))).toBe(userOf(jwt({ sub: "ada", exp: 2, role: "x" })));
  expect(userOf(jwt({ sub: "ada" }))).not.toBe(userOf(jwt({ sub: "bob" })));
  expect(userOf(jwt({ name: "ä?>~", iat: 1, exp: 2, jti: "a" }))).toBe(userOf(jwt({ name: "ä?>~", iat: 3, exp: 4, jti: "b" })));
  expect(userOf("opaque1")).not.toBe(userOf("opaque2"));
});

// Verifies: FUN-75
test("canonical arguments", () => {
  expect(canonical({ b: 1, a: { d: undefined, c: [{ z: 1, y: 2 }] } })).toBe('{"a":{"c":[{"y":2,"z":1}]},"b":1}');
  expect(canonical({ "a,b": 1, a: "z" })).toBe(canonical({ a: "z", "a,b": 1 }));
  expect(canonical(undefined)).toBe("{}");
  expect(canonical(new Date(0))).toBe('"1970-01-01T00:00:00.000Z"');
  expect(canonical(JSON.parse('{"__proto__":1}'))).toBe('{"__proto__":1}');
});

// A listener that throws silenced those behind it.
// Verifies: FUN-75
test("a listener that throws does not silence the others", async () => {
  open();
  const seen: unknown[] = [];
  let isFirst = true;
  client.subscribe("q", {}, () => {
    if (!isFirst) throw new Error("on purpose");
    isFirst = false;
  });
  client.subscribe("q", {}, ({ data }) => seen.push(data));
  await settled();
  newest().onopen!();
  newest().tell({ type: "result", id: "1", seq: 1, hash: "h", data: "told" });
  expect(seen.at(-1)).toBe("told");
  await expect(vi.advanceTimersByTimeAsync(0)).rejects.toThrow("on purpose");
});

// Verifies: FUN-74
test("retries of a read wait as long as the hub asks", async () => {
  open();
  answers = [];
  await settled();
  newest().onopen!();
  const busy = () => Response.json({ success: false, error: "UNAVAILABLE: too many waiting calls.", code: "UNAVAILABLE" }, { status: 503, headers: { "Retry-After": "3" } });
  answers = [busy, () => new Response("<html>", { status: 502, statusText: "Bad Gateway" }), answer(30, "thirty")];
  const read = client.query("q");
  await vi.advanceTimersByTimeAsync(2_900);
  expect(answers).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(100);
  expect(answers).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await read).toBe("thirty");
  answers = [() => new Response("<html>", { status: 502, statusText: "Bad Gateway" })];
  await expect(client.mutate("m")).rejects.toMatchObject({ status: 502, code: "HTTP_502", message: "ferry: the answer was 502 Bad Gateway", retryable: true });
});
