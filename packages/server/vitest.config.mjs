import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, relative } from "node:path";
import { defineConfig } from "vitest/config";
import { drizzleFiles } from "./scripts/drizzle.mjs";

const drizzle = dirname(createRequire(import.meta.url).resolve("drizzle-orm"));

// Tests run over drizzle as the hub has it built in.
export default defineConfig({
  plugins: [{
    name: "drizzle as built in",
    enforce: "pre",
    load(id) {
      const change = drizzleFiles[relative(drizzle, id)];
      return change ? change(readFileSync(id, "utf8")) : undefined;
    },
  }],
  // The compiler takes seconds on a busy machine.
  test: { testTimeout: 60_000, server: { deps: { inline: [/drizzle-orm/] } } },
});
