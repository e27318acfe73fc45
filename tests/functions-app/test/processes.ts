/** Programs that a test starts, with what they say. */

import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";

const LOOK_MS = 10;
const WAIT_MS = 60_000;

/** Looks again and again until `look` gives something. */
export async function until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>, context: () => string = () => ""): Promise<T> {
  for (const begun = Date.now(); Date.now() - begun < WAIT_MS; await pause(LOOK_MS)) {
    const found = await look();
    if (found) return found;
  }
  throw new Error(`waited ${WAIT_MS} ms for ${what}\n${context()}`);
}

export class Running {
  readonly #child: ChildProcess;
  #said = "";
  #heard = 0;

  constructor(program: string, args: string[], cwd: string, env: NodeJS.ProcessEnv = {}) {
    // A group of its own, as in a terminal, so that npm's children get the signals too.
    this.#child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"], detached: true });
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) stream.on("data", (text) => (this.#said += text));
    this.#child.on("error", (error) => (this.#said += error.message));
  }

  /** To it and to what it has started. */
  signal(signal: NodeJS.Signals): void {
    process.kill(-this.#child.pid!, signal);
  }

  /** All that it has said, without colours. */
  get said(): string {
    return stripVTControlCharacters(this.#said);
  }

  /** Waits until it says this, after whatever was heard before; gives what it said meanwhile. */
  async says(wanted: RegExp): Promise<string> {
    return until(String(wanted), () => {
      const news = this.said.slice(this.#heard);
      const found = wanted.exec(news);
      if (found) {
        this.#heard += found.index + found[0].length;
        return news;
      }
      if (this.#child.exitCode !== null) throw new Error(`it ended with ${this.#child.exitCode}:\n${this.said}`);
      return undefined;
    }, () => this.said);
  }

  /** What it said up to now is not looked at again. */
  forget(): void {
    this.#heard = this.said.length;
  }

  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = new Promise((resolve) => this.#child.once("exit", resolve));
      this.signal(signal);
      await ended;
    }
    return this.#child.exitCode;
  }
}

/** Runs a program to its end; what it said, if it ended with `code`. */
export async function run(program: string, args: string[], cwd: string, { code = 0, env = {} as NodeJS.ProcessEnv } = {}): Promise<string> {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
  const ended = await new Promise((resolve, reject) => child.once("exit", resolve).once("error", reject));
  if (ended !== code) throw new Error(`${program} ${args.join(" ")} ended with ${ended} instead of ${code}:\n${said}`);
  return said;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
