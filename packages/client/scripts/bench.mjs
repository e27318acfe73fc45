// How long Chromium takes to apply 10,000 changes of the hub: node scripts/bench.mjs
// Fresh: records that the device has never seen. Edits: one field of each of them.
import { build } from "esbuild";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const CHANGES = 10_000;
const BAR_MS = 2000;

const source = `
  import { Dexie } from "dexie";
  import { ferryRecords } from "./src/index.ts";
  const PAGE = 2000;
  const at = (ms) => new Date(ms).toISOString().slice(0, -1) + "000000Z";
  const fields = (i, ms, names) => Object.fromEntries(names.map((name) => [name, { value: name === "deletedAt" ? null : name + i, at: at(ms), by: "other" }]));
  const pages = (from, ms, names) => Array.from({ length: ${CHANGES} / PAGE }, (_, page) => ({
    epoch: "e", snapshot: from === 0, now: at(Date.now()), seq: 1, more: page < ${CHANGES} / PAGE - 1, cursor: String(from + (page + 1) * PAGE),
    changes: Array.from({ length: PAGE }, (_, i) => ({ collection: "todos", id: "id" + (page * PAGE + i), cts: String(from + page * PAGE + i), fields: fields(page * PAGE + i, ms, names) })),
  }));
  globalThis.bench = async () => {
    const db = new Dexie("bench" + Math.random());
    db.version(1).stores({ todos: "id, title" });
    const fresh = pages(0, Date.now() - 60000, ["title", "done", "note", "createdAt", "deletedAt"]);
    const edits = pages(${CHANGES}, Date.now(), ["title"]).map((page) => "event: changes\\ndata: " + JSON.stringify(page) + "\\n\\n");
    const texts = fresh.map((page) => JSON.stringify(page));
    let streamed;
    const caughtUp = new Promise((resolve) => (streamed = resolve));
    let begun, first, second;
    const fetch = async (url) => {
      if (!url.includes("/stream")) return new Response(texts.shift());
      second = performance.now();
      return new Response(new ReadableStream({ start(c) { for (const text of edits) c.enqueue(new TextEncoder().encode(text)); } }), { headers: { "Content-Type": "text/event-stream" } });
    };
    begun = performance.now();
    const sync = ferryRecords(db, { url: "http://hub", app: "bench", fetch });
    await sync.initialSync;
    first = performance.now() - begun;
    sync.status.subscribe(({ state }) => state === "live" && streamed());
    await caughtUp;
    second = performance.now() - second;
    const count = await db.todos.where("title").startsWith("title").count();
    sync.close();
    db.close();
    if (count !== ${CHANGES}) throw new Error("only " + count + " records arrived");
    return [Math.round(first), Math.round(second)];
  };
`;
const { outputFiles } = await build({
  stdin: { contents: source, resolveDir: new URL("..", import.meta.url).pathname, loader: "ts" },
  bundle: true, minify: true, format: "iife", write: false,
});
// IndexedDB needs an origin.
const server = createServer((_, response) => response.setHeader("Content-Type", "text/html").end("<!doctype html>"));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const hosted = await chromium.launchServer({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const browser = await chromium.connect(hosted.wsEndpoint());
const page = await browser.newPage();
page.on("console", (message) => console.log(message.text()));
page.on("pageerror", (error) => console.error(error));
await page.goto(`http://127.0.0.1:${server.address().port}`);
await page.addScriptTag({ content: outputFiles[0].text });
for (let run = 0; run < 4; run++) {
  const before = cpuMs(hosted.process().pid);
  const [fresh, edits] = await page.evaluate(() => globalThis.bench());
  const cpu = cpuMs(hosted.process().pid) - before;
  console.log(`${CHANGES} changes in Chromium: fresh ${fresh} ms, edits ${edits} ms (bar ${BAR_MS} ms); CPU of both, all processes: ${cpu} ms`);
}
await hosted.close();
server.close();

/** CPU time that the process and its descendants have used (Linux). */
function cpuMs(root) {
  const children = new Map();
  const ticks = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ");
      ticks.set(Number(pid), Number(stat[11]) + Number(stat[12]));
      children.set(Number(stat[1]), [...(children.get(Number(stat[1])) ?? []), Number(pid)]);
    } catch {
      // It has ended meanwhile.
    }
  }
  const sum = (pid) => (ticks.get(pid) ?? 0) + (children.get(pid) ?? []).reduce((total, child) => total + sum(child), 0);
  return sum(root) * 10;
}
