// What the hooks add to a page beside React and the client: minified, gzip. Fails above the bar.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";

const BAR_BYTES = 3 * 1024;
const { outputFiles } = await build({
  entryPoints: [new URL("../src/index.ts", import.meta.url).pathname],
  bundle: true, minify: true, format: "esm", target: "es2022", external: ["react", "@ferry/client/functions"], write: false,
});
const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length;
console.log(`@ferry/react: ${bytes} bytes gzip of ${BAR_BYTES}`);
process.exitCode = bytes > BAR_BYTES ? 1 : 0;
