/** The hub that serves the built page and its records: the real binary. */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const ROOT = new URL("../../..", import.meta.url).pathname;
const START_MS = 20_000;

export type Hub = { url: string; stop: () => Promise<void>; start: () => Promise<void>; end: () => Promise<void> };

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A hub in `--dev` over a fresh data directory, which survives `stop` and `start`. */
export async function startHub(): Promise<Hub> {
  const binary = process.env.FERRY_BIN ?? join(ROOT, "target/debug/ferry");
  const data = mkdtempSync(join(tmpdir(), "ferry-todo-"));
  const listen = `127.0.0.1:${await freePort()}`;
  const url = `http://${listen}`;
  const args = ["serve", "--dev", "--listen", listen, "--data-dir", data, "--static-dir", join(ROOT, "examples/todo/dist")];
  let child: ReturnType<typeof spawn> | undefined;

  const start = async () => {
    let log = "";
    const made = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
    child = made;
    for (const stream of [made.stdout, made.stderr]) stream.on("data", (text) => (log += text));
    for (const begun = Date.now(); Date.now() - begun < START_MS; await pause(30)) {
      if (made.exitCode !== null) throw new Error(`${binary} ended with ${made.exitCode}:\n${log}`);
      const answer = await fetch(`${url}/readyz`).catch(() => undefined);
      if (answer?.ok) return;
    }
    throw new Error(`the hub did not become ready:\n${log}`);
  };
  /** Kills it, as a crash would. */
  const stop = async () => {
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child!.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  };
  const end = async () => {
    await stop();
    rmSync(data, { recursive: true, force: true });
  };
  await start();
  return { url, start, stop, end };
}
