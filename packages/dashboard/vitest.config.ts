import { defineConfig } from "vitest/config";

// One browser and one hub: the tests of this file follow each other.
export default defineConfig({ test: { fileParallelism: false, hookTimeout: 60_000, testTimeout: 60_000 } });
