// Writes what `vite build` made to crates/hub/dashboard, where the binary takes it from. `--check` compares instead, and
// fails where something differs.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** What the hub allows for the first page, and for all of it (OPR-50). */
const FIRST_PAGE_MAX_BYTES = 100 * 1024;
const ALL_MAX_BYTES = 220 * 1024;
const FIRST = ["index.html", "app.js", "app.css"];
/** What comes when it is wanted. */
const FILES = [...FIRST, "hub.js", "editor.js", "linked.js"];

const made = join(import.meta.dirname, "../dist");
const target = join(import.meta.dirname, "../../../crates/hub/dashboard");
const raw = new Map(FILES.map((name) => [name, readFileSync(join(made, name), "utf8")]));
// Files name each other by the build that they are of: a browser keeps them for good, and never mixes two builds.
const build = createHash("sha256").update([...raw.values()].join("\0")).digest("hex").slice(0, 16);
const named = (text) => text.replace(/(["'`])((?:\.\/|\/_\/)(?:app\.js|app\.css|hub\.js|editor\.js|linked\.js))\1/g, `$1$2?v=${build}$1`);
const texts = new Map([...raw].map(([name, text]) => [name, named(text)]));

const others = readdirSync(made).filter((name) => !FILES.includes(name));
if (others.length > 0) {
  console.error(`vite made files that the hub does not serve: ${others.join(", ")}`);
  process.exitCode = 1;
}
const compressed = (names) => names.reduce((sum, name) => sum + gzipSync(texts.get(name), { level: 9 }).length, 0);
const [bytes, all] = [compressed(FIRST), compressed(FILES)];
for (const [what, is, most] of [["the first page", bytes, FIRST_PAGE_MAX_BYTES], ["the page", all, ALL_MAX_BYTES]]) {
  if (is <= most) continue;
  console.error(`${what} takes ${is} bytes, and may take ${most}`);
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
  console.log(`${texts.size} files, ${all} bytes compressed, ${bytes} of them at first`);
}
