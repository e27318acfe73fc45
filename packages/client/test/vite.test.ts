// The plugin beside a stand-in for `ferry dev`, which does what the real one does with .ferry/dev.json.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build as bundle } from "esbuild";
import { build, createServer, type ViteDevServer } from "vite";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ferry, type FerryPluginOptions } from "../src/vite.ts";
import { freePort, until } from "./functions/hub.ts";

const STAND_IN = `#!/usr/bin/env node
const { writeFileSync, mkdirSync, rmSync, existsSync, appendFileSync, readFileSync } = require("node:fs");
appendFileSync("starts", process.argv.slice(2).join(" ") + "\\n");
if (existsSync("fail")) { console.error("stand-in: on purpose"); process.exit(Number(readFileSync("fail", "utf8"))); }
const server = require("node:http").createServer((_, response) => response.end("ok"));
server.listen(0, "127.0.0.1", () => {
  mkdirSync(".ferry", { recursive: true });
  writeFileSync(".ferry/new", JSON.stringify({ url: "http://127.0.0.1:" + server.address().port, key: "fy_pk_dev", pid: process.pid, database: "main" }));
  require("node:fs").renameSync(".ferry/new", ".ferry/dev.json");
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => { rmSync(".ferry/dev.json", { force: true }); process.exit(0); });
`;

let project: string;
let binary: string;
const servers: ViteDevServer[] = [];
const children: ChildProcess[] = [];

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), "ferry-vite-"));
  binary = join(project, "stand-in.cjs");
  writeFileSync(binary, STAND_IN, { mode: 0o755 });
  mkdirSync(join(project, "src"));
  writeFileSync(join(project, "index.html"), '<script type="module" src="/src/main.js"></script>');
  writeFileSync(join(project, "src/main.js"), "console.log(import.meta.env.FERRY_URL, import.meta.env.FERRY_KEY);");
  vi.stubEnv("VITEST", "");
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
  for (const child of children.splice(0)) child.kill("SIGKILL");
  vi.unstubAllEnvs();
  rmSync(project, { recursive: true, force: true });
});

const serving = (): { url: string; key: string; pid: number } => JSON.parse(readFileSync(join(project, ".ferry/dev.json"), "utf8"));
const starts = () => readFileSync(join(project, "starts"), "utf8").trim().split("\n");
const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

async function serve(options: FerryPluginOptions = {}): Promise<ViteDevServer> {
  const server = await createServer({
    root: project, configFile: false, logLevel: "silent", server: { host: "127.0.0.1", port: await freePort() }, plugins: [ferry({ binary, ...options })],
  });
  servers.push(server);
  await server.listen();
  return server;
}

/** What a page gets for `import.meta.env`. */
async function envOf(server: ViteDevServer): Promise<string> {
  const address = server.httpServer!.address() as { port: number };
  return (await fetch(`http://127.0.0.1:${address.port}/src/main.js`)).text();
}

// Verifies: FUN-76
test("ferry dev starts and ends with the dev server, and the page knows the hub", async () => {
  const server = await serve({ args: ["--port", "9999"] });
  const { url, key, pid } = serving();
  expect(starts()).toEqual(["dev --port 9999"]);
  const text = await envOf(server);
  expect(text).toContain(`"FERRY_URL": "${url}"`);
  expect(text).toContain(`"FERRY_KEY": "${key}"`);
  await server.close();
  await until("its end", () => !isAlive(pid) && !existsSync(join(project, ".ferry/dev.json")));
});

// Verifies: FUN-76
test("without the program it is said how to get it", async () => {
  await expect(serve({ binary: "no-such-ferry" })).rejects.toThrow(/there is no program "no-such-ferry".*cargo build --release.*FERRY_BIN=/s);
});

// Verifies: FUN-76
test("ferry dev that does not serve stops the dev server", async () => {
  writeFileSync(join(project, "fail"), "3");
  await expect(serve()).rejects.toThrow("ferry: `ferry dev` ended (exit code 3); it says above why");
});

// Verifies: FUN-76
test("ferry dev that dies early is told in the terminal and on the page", async () => {
  const server = await serve();
  const said: string[] = [];
  vi.spyOn(server.config.logger, "error").mockImplementation((message) => void said.push(message));
  const shown: unknown[] = [];
  vi.spyOn(server.ws, "send").mockImplementation((payload: unknown) => void shown.push(payload));
  process.kill(serving().pid, "SIGKILL");
  await until("it is told", () => said.length > 0);
  expect(said[0]).toBe("ferry: `ferry dev` ended (SIGKILL); it says above why. Restart the dev server when that is mended.");
  expect(shown).toMatchObject([{ type: "error", err: { message: said[0] } }]);
  expect(starts()).toHaveLength(1);
});

// Verifies: FUN-76
test("ferry dev that dies later is started again, and the page learns its new address", async () => {
  const server = await serve();
  const first = serving();
  const before = Date.now();
  // It has run for a while.
  vi.spyOn(Date, "now").mockImplementation(() => before + 10_000);
  process.kill(first.pid, "SIGKILL");
  await until("the next one", () => starts().length === 2);
  vi.restoreAllMocks();
  const next = await until("it serves", () => (serving().pid !== first.pid ? serving() : undefined));
  await until("the page knows it", async () => (await envOf(server).catch(() => "")).includes(next.url));
  expect(isAlive(next.pid), "the restart of the dev server does not end it").toBe(true);
});

// Verifies: FUN-76
test("a second dev server uses the first one's, leaves it running, and goes on when it ends", async () => {
  mkdirSync(join(project, ".ferry"));
  const other = spawn(process.execPath, [binary, "dev"], { cwd: project });
  children.push(other);
  const { pid, url } = await until("the first one's", () => existsSync(join(project, ".ferry/dev.json")) && serving());
  const second = await serve();
  expect(await envOf(second)).toContain(url);
  expect(starts()).toHaveLength(1);
  await second.close();
  expect(isAlive(pid)).toBe(true);
  const third = await serve();
  other.kill("SIGKILL");
  await until("the third goes on alone", () => starts().length === 2 && serving().pid !== pid);
  await until("the page knows", async () => (await envOf(third).catch(() => "")).includes(serving().url));
});

// Verifies: FUN-76
test("what an ended ferry dev left behind is not taken for one", async () => {
  mkdirSync(join(project, ".ferry"));
  // Our own number: alive, but no hub.
  writeFileSync(join(project, ".ferry/dev.json"), JSON.stringify({ url: `http://127.0.0.1:${await freePort()}`, key: "old", pid: process.pid }));
  const server = await serve();
  expect(await envOf(server)).not.toContain('"old"');
  expect(starts()).toHaveLength(1);
});

// Verifies: FUN-76
test("the dev server is ended by a signal, and ferry dev with it", async () => {
  const port = await freePort();
  // As one file that finds the package `vite`, for a process of its own.
  const plugin = new URL("../node_modules/.ferry-vite-test.mjs", import.meta.url).pathname;
  await bundle({ entryPoints: [new URL("../src/vite.ts", import.meta.url).pathname], bundle: true, platform: "node", format: "esm", external: ["vite"], outfile: plugin });
  writeFileSync(join(project, "serve.mjs"), `
    import { createServer } from ${JSON.stringify(import.meta.resolve("vite"))};
    import { ferry } from ${JSON.stringify(plugin)};
    const server = await createServer({ configFile: false, server: { host: "127.0.0.1", port: ${port} }, plugins: [ferry({ binary: ${JSON.stringify(binary)} })] });
    await server.listen();`);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    const child = spawn(process.execPath, ["serve.mjs"], { cwd: project, stdio: "ignore" });
    children.push(child);
    const { pid } = await until("it serves", async () => existsSync(join(project, ".ferry/dev.json")) && (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined))?.ok && serving());
    child.kill(signal);
    await until(`the end by ${signal}`, () => !isAlive(pid) && (child.exitCode !== null || child.signalCode !== null));
    rmSync(join(project, ".ferry/dev.json"), { force: true });
  }
}, 60_000);

// Verifies: FUN-76
test("a build takes both values from the environment or .env files, and says what is missing", async () => {
  const make = () => build({ root: project, configFile: false, logLevel: "silent", plugins: [ferry({ binary })], build: { write: false, minify: false } });
  await expect(make()).rejects.toThrow(/FERRY_URL and FERRY_KEY must be set for a build/);
  writeFileSync(join(project, ".env.production"), "FERRY_URL=https://hub.example.com\nFERRY_PASSWORD=secret\n");
  vi.stubEnv("FERRY_KEY", "fy_pk_built");
  const { output } = (await make()) as { output: { code?: string }[] };
  const code = output.map(({ code = "" }) => code).join();
  expect(code).toContain('console.log("https://hub.example.com", "fy_pk_built")');
  expect(code).not.toContain("secret");
  expect(existsSync(join(project, "starts"))).toBe(false);
});
