/** Calls of the hub. The session stands in a cookie that no script sees. */

const HOME = import.meta.env.DEV ? `${location.origin}/_/` : import.meta.url;
/** Where the hub is asked. */
export const base = new URL("./api", HOME).pathname;
/** Where the hub's own paths begin. */
export const root = new URL("../", HOME).pathname;

/** A refusal, with what helps to find it in the hub's log. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly reason: string,
    readonly requestId: string,
  ) {
    super(message);
  }
}

/** What hears that the session has gone. */
let onSignedOut: () => void = () => {};
export const whenSignedOut = (listener: () => void): void => void (onSignedOut = listener);

type Detail = { debug?: { reason?: string; requestId?: string } };
type Failure = { code?: string; message?: string; details?: Detail[]; error?: { code?: string; message?: string } | string };

/** What tells whether the session stands: elsewhere 401 may mean a wrong password. */
const WHO = "Whoami";

type Read = (text: string) => unknown;

const RPCS = "/ferry.admin.v1.AdminService/";

/** What was asked before the page was drawn, for whoever asks it first: on a slow line each answer is a while. */
const begun = new Map<string, Promise<Response>>();

/** Forgets what was asked for somebody who is not signed in. */
export const forget = (): void => begun.clear();

/** Rows of a page of a list. */
export const PAGE = 200;

const call = (message: object): RequestInit => ({
  method: "POST", headers: { "Content-Type": "application/json", "Ferry-Dashboard": "1", "Connect-Protocol-Version": "1" }, body: JSON.stringify(message),
});

function begin(path: string, init: RequestInit = {}): void {
  const answer = fetch(base + path, init);
  answer.catch(() => {});
  begun.set(path, answer);
}

// Not where a provider or a mail led somebody, who is to be let in first.
if (!location.hash) {
  begin("/hub");
  begin(RPCS + WHO, call({}));
  // As it is shown at first: of the session's own organisation.
  if ([".", "databases"].some((page) => new URL(page, HOME).pathname === location.pathname)) begin(`${RPCS}ListDatabases`, call({ pageSize: PAGE }));
}

async function ask(path: string, init: RequestInit, read: Read = parsed): Promise<unknown> {
  let answer: Response;
  const early = begun.get(path);
  begun.delete(path);
  try {
    answer = await (early ?? fetch(base + path, init));
  } catch {
    throw new Refusal("The hub does not answer. It may be starting again: try once more in a moment.", 0, "offline", "");
  }
  const text = await answer.text();
  if (answer.ok) return read(text);
  const failure = (parsed(text) ?? {}) as Failure;
  // Functions tell it as a text.
  const told = typeof failure.error === "string" ? { message: failure.error, code: failure.code } : failure.error ?? failure;
  const refusal = new Refusal(
    told.message ?? (text.slice(0, 200) || `the hub answered ${answer.status}`),
    answer.status,
    failure.details?.[0]?.debug?.reason ?? told.code ?? "",
    answer.headers.get("x-request-id") ?? "",
  );
  if (refusal.status === 401) {
    if (path.endsWith(`/${WHO}`)) onSignedOut();
    else void rpc(WHO).catch(() => undefined);
  }
  throw refusal;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A call of the admin service. */
export async function rpc<T>(method: string, message: object = {}, signal?: AbortSignal): Promise<T> {
  return (await ask(RPCS + method, signal ? { ...call(message), signal } : call(message))) as T;
}

/** A change by an admin's session, at the models' own endpoints. */
export async function post<T>(path: string, message: object, more: Record<string, string> = {}): Promise<T> {
  const headers = { "Content-Type": "application/json", "Ferry-Dashboard": "1", ...more };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(message) })) as T;
}

/** A read of the hub; `read` makes something of its text. */
export async function get<T>(path: string, signal?: AbortSignal, read?: (text: string) => unknown): Promise<T> {
  return (await ask(path, signal ? { signal } : {}, read)) as T;
}

export type Facts = { version: string; signup: "open" | "invite" | "closed"; has_accounts: boolean; providers?: string[]; mail?: boolean; require_verified?: boolean };
export type Org = { id: string; name: string; role: string; personal?: boolean };
export type Whoami = {
  userId: string; email: string; orgId: string; role: string; orgs?: Org[]; sessionId: string; sessionExpUnix: string;
  serverVersion: string; emailVerified?: boolean;
  /** Whether the user may operate the hub. */
  operator?: boolean;
};
export type Lane = { model: string; headSeq?: string; items?: string; bytes?: string; lastActivityUnix?: string };
export type Database = {
  id: string; orgId: string; name: string; createdAtUnix?: string; sizeBytes?: string; seq?: string; lanes?: Lane[];
  lastActivityUnix?: string; connections?: number; kind?: string;
};
export type Token = {
  tokenId: string; userId: string; label?: string; models?: string[]; ops?: string[]; issuedUnix?: string; expUnix?: string;
};
export type ApiKey = {
  id: string; kind: string; label?: string; prefix: string; models?: string[]; ops?: string[]; origins?: string[];
  functions?: string[]; createdUnix?: string; expUnix?: string; lastUsedUnix?: string; value?: string;
};
export type Member = { userId: string; email: string; role: string; joinedUnix?: string };
export type Invitation = { id: string; email: string; role: string; expUnix?: string; code?: string; mailed?: boolean };
export type Session = {
  id: string; label?: string; ip?: string; createdUnix?: string; lastSeenUnix?: string; expUnix?: string; current?: boolean;
};
export type AuditEvent = {
  id: string; atUnix: string; requestId?: string; actor?: string; action: string; target?: string; outcome: string; ip?: string;
  detailJson?: string;
};
