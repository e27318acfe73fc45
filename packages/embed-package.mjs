// Writes what a package would ship to crates/cli/packages, where the binary takes it from: run in the package's folder.
// `--check` compares instead, and fails where something differs.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";

const folder = process.cwd();
const target = join(import.meta.dirname, "../crates/cli/packages", basename(folder));
const run = (...args) => execFileSync("npm", args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

/** What `npm install` needs of package.json, and no more. */
function manifest() {
  const { scripts, devDependencies, ...kept } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return `${JSON.stringify(kept, null, 2)}\n`;
}

/** Path in the package → content, as `npm pack` lists them; source maps would double its size. */
function contents() {
  // What an earlier build left is not part of the package.
  rmSync(join(folder, "dist"), { recursive: true, force: true });
  run("run", "--silent", "build");
  const [{ files }] = JSON.parse(run("pack", "--dry-run", "--json", "--ignore-scripts", "--silent"));
  const paths = files.map(({ path }) => path).filter((path) => !path.endsWith(".map")).sort();
  return new Map(paths.map((path) => [path, path === "package.json" ? manifest() : readFileSync(join(folder, path), "utf8")]));
}

function filesBelow(directory) {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile());
}

const wanted = contents();
if (process.argv.includes("--check")) {
  const read = (path) => (existsSync(join(target, path)) ? readFileSync(join(target, path), "utf8") : undefined);
  const stale = [...wanted].filter(([path, text]) => read(path) !== text).map(([path]) => path);
  stale.push(...filesBelow(target).map((path) => relative(target, path)).filter((path) => !wanted.has(path)));
  if (stale.length > 0) {
    console.error(`${relative(join(target, "../../../.."), target)} is not what npm run embed:package makes: ${stale.join(", ")}`);
    process.exitCode = 1;
  }
} else {
  rmSync(target, { recursive: true, force: true });
  for (const [path, text] of wanted) {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    writeFileSync(join(target, path), text);
  }
  const bytes = [...wanted.values()].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  console.log(`${wanted.size} files, ${bytes} bytes`);
}
