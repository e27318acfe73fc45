// What the hub hands to the runtime: one object per context. "The current call" is the hub's matter.

/** What a check of a token says: its claims, or why it is refused. */
export type Verified = { ok: true; payload: Record<string, unknown> } | { ok: false; error: string };

/** How rows come back: 0 as arrays, 1 as objects, 2 not at all; names: as objects, column i under name i. */
export type RowMode = 0 | 1 | 2 | readonly string[];

export interface Executed {
  columns: string[];
  rows: any[];
  changes: number;
  lastInsertRowid: number | bigint;
}

export interface Host {
  /** Whether `execute` takes names as its mode. */
  readonly keyed?: boolean;
  execute(sql: string, params: readonly unknown[], mode: RowMode): Executed;
  savepoint(step: "begin" | "release" | "rollback"): void;
  model(kind: "recordsPut" | "recordsDelete" | "eventsAppend" | "opsAppend", a: string, b?: string, c?: string): string;
  log(level: "debug" | "info" | "warn" | "error", text: string): void;
  warn(text: string): void;
  subscribeTo(names: string[]): void;
  invalidate(names: string[]): void;
  seq(): number;
  used(what: "user" | "headers" | "sign" | "clock"): void;
  sign(claims: string, expiresIn: string): Promise<string>;
  /** Tells by the hub's own rules whether a token is good. */
  verify(token: string, issuer?: string, audience?: string): Promise<Verified>;
}

export interface Request {
  args: unknown;
  headers: Record<string, string>;
  user: Record<string, unknown> | null;
  owner: string;
  env: Record<string, string>;
  requestId: string;
  guardPrefix: string;
  canSign: boolean;
}
