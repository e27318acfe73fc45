// The embedded modules: one core, evaluated once in a context, and for each specifier a list of what it re-exports.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { drizzleFiles } from "./drizzle.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const drizzle = dirname(createRequire(import.meta.url).resolve("drizzle-orm"));
const SPECIFIERS = {
  "server": "src/index.ts",
  "schema": "src/schema.ts",
  "drizzle-orm": "drizzle-orm",
  "drizzle-orm-sqlite-core": "drizzle-orm/sqlite-core",
  "drizzle-orm-sql": "drizzle-orm/sql",
  "drizzle-orm-relations": "drizzle-orm/relations",
};
const SHIMS = ["events", "util", "path", "crypto"];

const plugin = {
  name: "embedded",
  setup(builder) {
    builder.onLoad({ filter: /[\\/]drizzle-orm[\\/].*\.js$/ }, async ({ path }) => {
      const change = drizzleFiles[relative(drizzle, path).replaceAll("\\", "/")];
      return change && { contents: change(await readFile(path, "utf8")), loader: "js" };
    });
    // One Buffer for all.
    builder.onResolve({ filter: /\/buffer\.ts$/ }, ({ importer }) =>
      importer.endsWith("shims/crypto.ts") ? { path: "ferry:core", external: true } : undefined);
  },
};

async function bundled(entry, banner) {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    target: "es2023",
    minifySyntax: true,
    minifyWhitespace: true,
    keepNames: false,
    legalComments: "none",
    banner: { js: banner },
    plugins: [plugin],
    metafile: true,
    write: false,
  });
  return { text: outputFiles[0].text, exports: Object.values(metafile.outputs)[0].exports };
}

async function exportsOf(entry) {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    plugins: [plugin],
    metafile: true,
    write: false,
  });
  return Object.values(metafile.outputs)[0].exports.filter((name) => name !== "default").sort();
}

/** File name → source. */
export async function builtModules() {
  const version = JSON.parse(await readFile(join(drizzle, "package.json"), "utf8")).version;
  const banner = `// Built by packages/server: npm run embed. Contains drizzle-orm ${version}, Apache License 2.0 (see NOTICE).`;
  const core = await bundled("src/runtime/core.ts", banner);
  const modules = new Map([["core.js", core.text]]);
  for (const [name, entry] of Object.entries(SPECIFIERS)) {
    const names = await exportsOf(entry);
    const missing = names.filter((exported) => !core.exports.includes(exported));
    if (missing.length > 0) throw new Error(`${entry}: the core does not export ${missing.join(", ")}`);
    modules.set(`${name}.js`, `export{${names.join(",")}}from"ferry:core";\n`);
  }
  for (const name of SHIMS) modules.set(`node-${name}.js`, (await bundled(`src/shims/${name}.ts`, "")).text);
  modules.set("node-buffer.js", `import{Buffer}from"ferry:core";export{Buffer};export const kMaxLength=2147483647;export default{Buffer,kMaxLength};\n`);
  modules.set("runtime.js", `export{call,callHook,inspect}from"ferry:core";\n`);
  return modules;
}
