// What each entry adds to a page beside its peers: minified, gzip. Fails above the bar.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";

const ENTRIES = [
  { name: "@ferry/client", entry: "index.ts", external: ["dexie"], bar: 10.3 * 1024 },
  { name: "@ferry/client/functions", entry: "functions.ts", external: [], bar: 6 * 1024 },
];
for (const { name, entry, external, bar } of ENTRIES) {
  const { outputFiles } = await build({
    entryPoints: [new URL(`../src/${entry}`, import.meta.url).pathname],
    bundle: true, minify: true, format: "esm", target: "es2022", external, write: false,
  });
  const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  console.log(`${name}: ${bytes} bytes gzip of ${bar}`);
  if (bytes > bar) process.exitCode = 1;
}
