// Writes what `vite build` made to crates/hub/dashboard, where the binary takes it from. `--check` compares instead, and
// fails where something differs.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** What the hub allows for the first page (OPR-50). */
const FIRST_PAGE_MAX_BYTES = 100 * 1024;
const FILES = ["index.html", "app.js", "app.css"];

const made = join(import.meta.dirname, "../dist");
const target = join(import.meta.dirname, "../../../crates/hub/dashboard");
const texts = new Map(FILES.map((name) => [name, readFileSync(join(made, name), "utf8")]));

const bytes = [...texts.values()].reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0);
if (bytes > FIRST_PAGE_MAX_BYTES) {
  console.error(`the first page takes ${bytes} bytes, and may take ${FIRST_PAGE_MAX_BYTES}`);
  process.exitCode = 1;
}
if (process.argv.includes("--check")) {
  const read = (name) => (existsSync(join(target, name)) ? readFileSync(join(target, name), "utf8") : undefined);
  const stale = FILES.filter((name) => read(name) !== texts.get(name));
  if (stale.length > 0) {
    console.error(`crates/hub/dashboard is not what npm run embed makes: ${stale.join(", ")}`);
    process.exitCode = 1;
  }
} else {
  mkdirSync(target, { recursive: true });
  for (const [name, text] of texts) writeFileSync(join(target, name), text);
  console.log(`3 files, ${bytes} bytes compressed`);
}
