/** The real hub, as tests of pages start it: with functions deployed, or with records. FERRY_BIN names the binary. */

import { spawn, type ChildProcess } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BINARY = process.env.FERRY_BIN ?? new URL("../../../../target/debug/ferry", import.meta.url).pathname;
const DEADLINE_MS = 60_000;
const STEP_MS = 10;

const column = (name: string, type: string, more: object = {}) => ({
  name, type, notNull: false, primaryKey: false, autoincrement: false, unique: null, default: null, generated: null, mode: type === "text" ? "SQLiteText" : "SQLiteInteger", ...more,
});
const SCHEMA = {
  version: 1,
  tables: [{
    name: "todos",
    columns: [column("id", "integer", { notNull: true, primaryKey: true, autoincrement: true }), column("title", "text", { notNull: true }), column("owner", "text", { unique: "todos_owner_unique" })],
    primaryKey: null, uniques: [], checks: [], foreignKeys: [],
  }],
  indexes: [], views: [], collections: [],
};

/** Functions over a table `todos`, as one module. */
export const FUNCTIONS = `
import { table, integer, text } from "@ferry/server/schema";
import { query, mutation, action } from "@ferry/server";
import { eq } from "drizzle-orm";

const todos = table("todos", { id: integer("id").primaryKey({ autoIncrement: true }), title: text("title").notNull(), owner: text("owner").unique() });
export const _ferry_schema = { todos };

export const listTodos = query(async (ctx) => ctx.db.select().from(todos));
export const getTodo = query(async (ctx, { id }) => (await ctx.db.select().from(todos).where(eq(todos.id, id)).get()) ?? null);
export const needTodo = query(async (ctx, { title }) => {
  const found = await ctx.db.select().from(todos).where(eq(todos.title, title)).get();
  if (!found) throw new Error("NOT_FOUND: no todo " + title);
  return found;
});
export const countTodos = query(async (ctx) => (await ctx.db.select().from(todos)).length);
export const mine = query(async (ctx) => ({ sub: ctx.user?.sub ?? null, count: (await ctx.db.select().from(todos)).length }));
export const large = query(async (ctx, { bytes }) => ({ text: "x".repeat(bytes), count: (await ctx.db.select().from(todos)).length }));
export const addTodo = mutation(async (ctx, { title, owner }) => ctx.db.insert(todos).values({ title, owner }).returning().get());
export const touch = mutation(async (ctx) => null);
export const fail = mutation(async (ctx, { message }) => {
  await ctx.db.insert(todos).values({ title: "never" });
  throw new Error(message);
});
export const sweep = action(async (ctx) => ctx.db.delete(todos).withoutWhere());
export const many = query(async (ctx) => ctx.db.select().from(todos).limit(5000));
export const echo = async (ctx, args) => args;
export const nothing = query(async () => undefined);
export async function login(ctx, { sub, expires }) { return ctx.signJwt({ sub }, expires); }
`;

/** A hub that can be killed and started again over its data. */
export class Hub {
  key = "";
  database = "";
  #child: ChildProcess | undefined;
  #session = "";
  #log = "";
  readonly #folder = mkdtempSync(join(tmpdir(), "ferry-functions-"));

  private constructor(readonly port: number, readonly args: string[]) {}

  /** One with {@link FUNCTIONS} deployed and local auth. */
  static async start(...args: string[]): Promise<Hub> {
    const hub = new Hub(await freePort(), args);
    await hub.start();
    await hub.#prepare();
    await hub.deploy(FUNCTIONS);
    return hub;
  }

  /** One with a database for records. */
  static async ofRecords(...args: string[]): Promise<Hub> {
    const hub = new Hub(await freePort(), args);
    await hub.start();
    await hub.#prepare();
    return hub;
  }

  /** A credential for the records of its database. */
  async recordsToken(): Promise<string> {
    const request = { databaseId: this.database, models: ["records"], ops: ["read", "write"], ttlSeconds: 3600 };
    return (await this.#connect("ferry.admin.v1.AdminService/IssueSyncToken", request)).token;
  }

  /** Copies the data as it is now. */
  copy(): string {
    const copy = join(this.#folder, "copy");
    cpSync(join(this.#folder, "data"), copy, { recursive: true });
    return copy;
  }

  /**
   * Puts a copy in the place of the data, with the hub killed. Nothing in the folder shows it, as when a volume is rolled back:
   * the file `lineage`, which knows when it was made, is the one that it was.
   */
  putBack(copy: string): void {
    const data = join(this.#folder, "data");
    for (const name of readdirSync(data)) if (name !== "lineage") rmSync(join(data, name), { recursive: true });
    for (const name of readdirSync(copy)) {
      if (name === "lineage") writeFileSync(join(data, name), readFileSync(join(copy, name)));
      else cpSync(join(copy, name), join(data, name), { recursive: true });
    }
  }

  get log(): string {
    return this.#log;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--data-dir", join(this.#folder, "data"), ...this.args];
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("FERRY_")));
    const child = spawn(BINARY, args, { cwd: this.#folder, stdio: ["ignore", "pipe", "pipe"], env: { ...env, FERRY_RATE_LIMIT_SCALE: "0" } });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream!.on("data", (text) => (this.#log += text));
    let failure: Error | undefined;
    child.once("error", (error) => (failure = error));
    await until("the hub's start", async () => {
      if (failure || child.exitCode !== null) throw new Error(`${BINARY} does not run (FERRY_BIN names another one): ${failure ?? child.exitCode}\n${this.#log}`);
      return (await fetch(`${this.url}/readyz`).catch(() => undefined))?.ok;
    });
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Puts this module in place of what is deployed. */
  async deploy(bundle: string): Promise<void> {
    const { deployment = null } = await this.#admin("GET", "info");
    await this.#admin("POST", "deploy", {
      base: deployment, bundle, sourceMap: "", manifest: {}, apiDts: "", schema: SCHEMA, migrations: [], hints: {},
      allowDestructive: false, dryRun: false, auth: { mode: "local" },
    });
  }

  /** A token of the database's own. The hub takes it for five seconds more than it says. */
  async token(sub: string, expires = "1h"): Promise<string> {
    const request = { method: "POST", headers: { "Ferry-Key": this.key }, body: JSON.stringify({ sub, expires }) };
    return ((await (await fetch(`${this.url}/rpc/login`, request)).json()) as { data: string }).data;
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    return Number(text.split("\n").find((line) => line.startsWith(`${name} `))?.split(" ").at(-1) ?? 0);
  }

  async #prepare(): Promise<void> {
    const signup = { email: "ada@example.com", password: "correct horse battery staple" };
    this.#session = (await this.#connect("edgereplica.admin.v1.AdminService/Signup", signup)).sessionToken;
    this.database = (await this.#connect("edgereplica.admin.v1.AdminService/CreateDatabase", { name: "app" })).id;
    const spec = { kind: "publishable", label: "page", models: ["functions"], ops: ["read", "write"] };
    const made = await this.#connect("ferry.admin.v1.AdminService/CreateApiKey", { database: this.database, spec });
    this.key = made.secret ?? made.value ?? made.key;
  }

  async #connect(method: string, body: object): Promise<any> {
    return this.#send("POST", `/${method}`, body);
  }

  async #admin(method: string, call: string, body?: object): Promise<any> {
    return this.#send(method, `/v1/databases/${this.database}/functions/${call}`, body);
  }

  async #send(method: string, path: string, body?: object): Promise<any> {
    const headers: Record<string, string> = { "Content-Type": "application/json" };
    if (this.#session) headers.Authorization = `Bearer ${this.#session}`;
    const response = await fetch(this.url + path, { method, headers, ...(body && { body: JSON.stringify(body) }) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Waits for a condition; its value is given back once it is one. */
export async function until<T>(what: string, condition: () => T | Promise<T>): Promise<Exclude<T, false | undefined | null>> {
  for (const begun = Date.now(); Date.now() - begun < DEADLINE_MS; await new Promise((resolve) => setTimeout(resolve, STEP_MS))) {
    const value = await condition();
    if (value) return value as Exclude<T, false | undefined | null>;
  }
  throw new Error(`waited ${DEADLINE_MS} ms for ${what}`);
}
