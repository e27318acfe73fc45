/** An app as a developer has it: what `ferry init` wrote and npm installed, in a folder of its own. */

import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, run, Running, until } from "./processes.ts";

const ROOT = new URL("../../..", import.meta.url).pathname;
const FERRY = process.env.FERRY_BIN ?? join(ROOT, "target/debug/ferry");
/** A developer's own accounts and settings have no part in this. */
const home = realpathSync(mkdtempSync(join(tmpdir(), "ferry-home-")));
// Nor does it know that it runs in a test.
const env = { FERRY_BIN: FERRY, XDG_CONFIG_HOME: home, NO_COLOR: "1", VITEST: undefined, NODE_ENV: undefined };

/** The help of a command; empty if there is none. */
export const help = (path: string[]): Promise<string> => run(FERRY, ["help", ...path], ".", { env }).catch(() => "");

export class App {
  /** What `npm run dev` runs: Vite, and `ferry dev` beside it. */
  page: Running | undefined;

  private constructor(
    readonly folder: string,
    readonly pageUrl: string,
    readonly hubPort: number,
  ) {}

  /** The first of the two commands. */
  static async init(...flags: string[]): Promise<App> {
    const parent = realpathSync(mkdtempSync(join(tmpdir(), "ferry-app-")));
    await run(FERRY, ["init", "my-app", "--yes", ...flags], parent, { env });
    const app = new App(join(parent, "my-app"), `http://localhost:${await freePort()}/`, await freePort());
    appendFileSync(app.path("ferry/project.toml"), `\n[dev]\nport = ${app.hubPort}\n`);
    return app;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  read(name: string): string {
    return readFileSync(this.path(name), "utf8");
  }

  /** Changes a file as an editor does. */
  edit(name: string, ...changes: [from: string, to: string][]): void {
    let text = this.read(name);
    for (const [from, to] of changes) {
      if (!text.includes(from)) throw new Error(`${name} does not say ${from}`);
      text = text.replace(from, to);
    }
    writeFileSync(this.path(name), text);
  }

  write(name: string, text: string): void {
    writeFileSync(this.path(name), text);
  }

  append(name: string, text: string): void {
    appendFileSync(this.path(name), text);
  }

  /** The second command. */
  async startPage(): Promise<void> {
    const { port } = new URL(this.pageUrl);
    this.page = new Running("npm", ["run", "dev", "--", "--port", port, "--strictPort"], this.folder, env);
    const page = this.page;
    await until("the page", () => fetch(this.pageUrl).then(({ ok }) => ok, () => false), () => page.said);
  }

  /** As if the machine had lost its power; until `resumeHub` nobody starts it again. */
  killHub(): void {
    this.page!.signal("SIGSTOP");
    process.kill(this.dev.pid, "SIGKILL");
  }

  /** Vite's plugin goes on, and finds that the hub has ended. */
  resumeHub(): void {
    this.page!.signal("SIGCONT");
  }

  /** What the developer sees. */
  get terminal(): string {
    return this.page?.said ?? "";
  }

  get hubIsAnnounced(): boolean {
    return existsSync(this.path(".ferry/dev.json"));
  }

  /** Where `ferry dev` serves. */
  get dev(): { url: string; key: string; pid: number } {
    return JSON.parse(this.read(".ferry/dev.json"));
  }

  async call(fn: string, args: unknown = {}): Promise<any> {
    const { url, key } = this.dev;
    const response = await fetch(`${url}/rpc/${fn}`, { method: "POST", headers: { "Ferry-Key": key }, body: JSON.stringify(args) });
    return response.json();
  }

  /** A command that goes on. */
  start(args: string[]): Running {
    return new Running(FERRY, args, this.folder, { ...env, FERRY_BIN: undefined });
  }

  ferry(args: string[], more: NodeJS.ProcessEnv = {}): Promise<string> {
    return run(FERRY, args, this.folder, { env: { ...env, ...more } });
  }

  npm(args: string[], more: NodeJS.ProcessEnv = {}): Promise<string> {
    return run("npm", args, this.folder, { env: { ...env, ...more } });
  }

  /** The scripts of the page that `npm run build` made. */
  built(): string {
    const folder = this.path("dist/assets");
    return readdirSync(folder).filter((name) => name.endsWith(".js")).map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  }

  /** TypeScript over the page, as `npm run check` does. */
  tsc(code = 0): Promise<string> {
    return run(process.execPath, [this.path("node_modules/typescript/bin/tsc")], this.folder, { code });
  }

  async end(): Promise<void> {
    await this.page?.end();
    rmSync(join(this.folder, ".."), { recursive: true, force: true });
  }
}
