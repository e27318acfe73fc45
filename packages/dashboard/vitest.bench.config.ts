import { defineConfig } from "vitest/config";

// `npm run bench -- table`: a measurement of the page against a real hub, of a release build: FERRY_BIN names it.
export default defineConfig({
  test: { include: ["bench/*.bench.ts"], fileParallelism: false, testTimeout: 3_600_000, hookTimeout: 120_000 },
});
