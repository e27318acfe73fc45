/**
 * What only an operator may: a user who is one, by the session; or whoever types the token in, which stays in this page's memory for an
 * hour, and goes nowhere else.
 */

import { get, Refusal, root, rpc } from "./api.ts";

const KEPT_MS = 3_600_000;

/** How long ago it may have been typed for what takes something away. */
const FRESH_MS = 300_000;

let token = "";
let typedAt = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();

export const isOperator = (): boolean => token !== "";
export const isFresh = (): boolean => Date.now() - typedAt < FRESH_MS;
export const listen = (listener: () => void): (() => void) => {
  listeners.add(listener);
  return () => void listeners.delete(listener);
};

function keep(value: string): void {
  token = value;
  clearTimeout(timer);
  if (value) timer = setTimeout(() => keep(""), KEPT_MS);
  listeners.forEach((listener) => listener());
}

export const forget = (): void => keep("");

async function ask(path: string, init: RequestInit, bearer: string): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(`${root}${path}`, { ...init, credentials: "omit", headers: { ...init.headers, Authorization: `Bearer ${bearer}` } });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Refusal("The hub does not answer. It may be starting again: try once more in a moment.", 0, "offline", "");
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let told: { message?: string; code?: string } = {};
  try {
    told = JSON.parse(text) as typeof told;
  } catch {
    // Not every refusal is JSON.
  }
  if (answer.status === 401) forget();
  throw new Refusal(told.message ?? (text.slice(0, 200) || `the hub answered ${answer.status}`), answer.status, told.code ?? "", answer.headers.get("x-request-id") ?? "");
}

export async function operatorRpc<T>(method: string, message: object = {}, signal?: AbortSignal, bearer = token): Promise<T> {
  if (!bearer) return rpc<T>(method, message, signal);
  const init: RequestInit = { method: "POST", headers: { "Content-Type": "application/json", "Connect-Protocol-Version": "1" }, body: JSON.stringify(message) };
  if (signal) init.signal = signal;
  return (await (await ask(`ferry.admin.v1.AdminService/${method}`, init, bearer)).json()) as T;
}

/** Takes the token if the hub does. */
export async function enter(typed: string): Promise<void> {
  await operatorRpc("GetServerInfo", {}, undefined, typed);
  typedAt = Date.now();
  keep(typed);
}

/** Whether what takes something away asks once more who is there; a session's age only the hub knows. */
export const asksAgain = (): boolean => !(isOperator() && isFresh());

/** Tells once more who is there, as the page was opened: by the token, or by the password. */
export async function prove(typed: string): Promise<void> {
  if (isOperator()) return enter(typed.trim());
  return signInAgain(typed);
}

/** A new session of who is signed in: the hub takes nothing away for one that is older than 5 minutes. */
export async function signInAgain(password: string): Promise<void> {
  const { whoami } = await rpc<{ whoami: { email: string } }>("Whoami");
  await rpc("Login", { email: whoami.email, password, label: "dashboard" });
}

/** The numbers of the hub: sums over all labels, by family. */
export async function metrics(signal: AbortSignal): Promise<Map<string, number>> {
  if (!token) return get("/metrics", signal, families);
  return families(await (await ask("metrics", { signal }, token)).text());
}

/** Prometheus' text format, as far as it is summed here; `name{quantile=…}` and buckets are left out. */
export function families(text: string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const line of text.split("\n")) {
    const sample = /^([A-Za-z_:][\w:]*)(\{.*\})? ([-+\w.]+)$/.exec(line);
    if (!sample || /(quantile|le)="/.test(sample[2] ?? "")) continue;
    const value = Number(sample[3]);
    if (Number.isFinite(value)) sums.set(sample[1]!, (sums.get(sample[1]!) ?? 0) + value);
  }
  return sums;
}
