/** The real binary, on a port of its own. */

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const ROOT = new URL("../../..", import.meta.url).pathname;
const START_MS = 20_000;

/** The program. */
export const binary = process.env.FERRY_BIN ?? join(ROOT, "target/debug/ferry");

export type Hub = { url: string; data: string; log: () => string; start: () => Promise<void>; kill: () => Promise<void>; end: () => Promise<void> };

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** `{data}` in a setting is the folder of this hub; `environment` is asked for its variables, by its URL. */
export async function startHub(settings: string[] = [], environment: (url: string) => Record<string, string> = () => ({})): Promise<Hub> {
  const data = mkdtempSync(join(tmpdir(), "ferry-dashboard-"));
  const listen = `127.0.0.1:${await freePort()}`;
  const url = `http://${listen}`;
  let child: ChildProcess | undefined;
  let log = "";
  const start = async () => {
    log = "";
    const made = spawn(binary, ["serve", "--listen", listen, "--data-dir", data, ...settings.map((text) => text.replace("{data}", data))], {
      stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...environment(url) },
    });
    child = made;
    for (const stream of [made.stdout, made.stderr]) stream.on("data", (text) => (log += text));
    for (const begun = Date.now(); Date.now() - begun < START_MS; await pause(30)) {
      if (made.exitCode !== null) throw new Error(`${binary} ended with ${made.exitCode}:\n${log}`);
      const answer = await fetch(`${url}/readyz`).catch(() => undefined);
      if (answer?.ok) return;
    }
    throw new Error(`the hub did not become ready:\n${log}`);
  };
  const kill = async () => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child!.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  };
  const end = async () => {
    await kill();
    for (const folder of [data, `${data}-backups`]) rmSync(folder, { recursive: true, force: true });
  };
  await start();
  return { url, data, log: () => log, start, kill, end };
}

/** A call of the admin service by a program. */
export async function call(hub: Hub, method: string, message: object, token = ""): Promise<Record<string, any>> {
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(`${hub.url}/ferry.admin.v1.AdminService/${method}`, { method: "POST", headers, body: JSON.stringify(message) });
  return { status: answer.status, ...((await answer.json()) as object) };
}
