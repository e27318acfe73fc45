// Makes what is built into the hub: `node scripts/embed.mjs` writes crates/functions/js/dist, `--check` compares with it.
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { builtModules } from "./modules.mjs";

const directory = new URL("../../../crates/functions/js/dist/", import.meta.url);
const modules = await builtModules();
const isCheck = process.argv.includes("--check");
if (!isCheck) {
  await mkdir(directory, { recursive: true });
  for (const name of await readdir(directory)) if (name.endsWith(".js")) await rm(new URL(name, directory));
}
const stale = [];
for (const [name, source] of modules) {
  const file = new URL(name, directory);
  if (!isCheck) await writeFile(file, source);
  else if ((await readFile(file, "utf8").catch(() => undefined)) !== source) stale.push(name);
}
if (isCheck) {
  stale.push(...(await readdir(directory)).filter((name) => name.endsWith(".js") && !modules.has(name)));
  if (stale.length > 0) {
    console.error(`crates/functions/js/dist is not what npm run embed makes: ${stale.join(", ")}`);
    process.exitCode = 1;
  }
}
for (const [name, source] of modules) console.log(`${String(Buffer.byteLength(source)).padStart(8)} ${name}`);
