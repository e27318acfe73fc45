/** What serves the built page and its records in a test. */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { ModelHub } from "../../../packages/client/test/hub.ts";

const ROOT = new URL("../../..", import.meta.url).pathname;
const PAGE = join(ROOT, "examples/todo/dist");
const START_MS = 20_000;

/** Whether the binary serves the records; EXAMPLE_HUB=model asks for the model that the client's own tests use. */
export const recordsAreServed = (process.env.EXAMPLE_HUB ?? "ferry") === "ferry";

/** A hub that can be killed and started again over what it has stored. */
export type Hub = { url: string; start: () => Promise<void>; kill: () => Promise<void>; end: () => Promise<void> };

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The real binary in `--dev`, which also serves the page. */
export async function realHub(): Promise<Hub> {
  const binary = process.env.EXAMPLE_BINARY ?? join(ROOT, "target/debug/ferry");
  const data = mkdtempSync(join(tmpdir(), "ferry-todo-"));
  const listen = `127.0.0.1:${await freePort()}`;
  const url = `http://${listen}`;
  const args = ["serve", "--dev", "--listen", listen, "--data-dir", data, "--static-dir", PAGE];
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
  const kill = async () => {
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child!.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  };
  const end = async () => {
    await kill();
    rmSync(data, { recursive: true, force: true });
  };
  await start();
  return { url, start, kill, end };
}

/** The model of the hub that the client's own tests use, behind a socket. */
export async function modelHub(): Promise<Hub> {
  const model = new ModelHub();
  const port = await freePort();
  let server: ReturnType<typeof createServer> | undefined;
  const start = async () => {
    server = createServer((request, response) => void answer(model, request, response));
    await new Promise<void>((resolve) => server!.listen(port, "127.0.0.1", resolve));
  };
  const kill = async () => {
    server?.closeAllConnections();
    await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
    server = undefined;
  };
  await start();
  return { url: `http://127.0.0.1:${port}`, start, kill, end: kill };
}

const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

async function answer(model: ModelHub, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url ?? "/";
  if (!path.startsWith("/v1/")) {
    const file = join(PAGE, path === "/" ? "index.html" : path);
    response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" });
    return void response.end(readFileSync(file));
  }
  let body = "";
  for await (const chunk of request) body += chunk;
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const headers = { "X-Client-Id": String(request.headers["x-client-id"] ?? "") };
  const answered = await model.fetch(`http://model${path}`, {
    method: request.method ?? "GET", headers, signal: gone.signal, ...(body && { body }),
  });
  response.writeHead(answered.status, Object.fromEntries(answered.headers));
  response.flushHeaders();
  try {
    for await (const chunk of answered.body!) response.write(chunk);
  } catch {
    // The stream ends with its reader.
  }
  response.end();
}
