import { defineConfig } from "vitest/config";

// One browser, one hub at a time: the tests of this file start and kill hubs.
export default defineConfig({ test: { fileParallelism: false, hookTimeout: 60_000 } });
