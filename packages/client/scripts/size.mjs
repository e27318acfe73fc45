// What the client adds to a page beside Dexie: minified, gzip. Fails above the bar.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";

const BAR_BYTES = 10.25 * 1024;
const { outputFiles } = await build({
  entryPoints: [new URL("../src/index.ts", import.meta.url).pathname],
  bundle: true, minify: true, format: "esm", target: "es2022", external: ["dexie"], write: false,
});
const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length;
console.log(`@ferry/client: ${bytes} bytes gzip of ${BAR_BYTES}`);
process.exitCode = bytes > BAR_BYTES ? 1 : 0;
