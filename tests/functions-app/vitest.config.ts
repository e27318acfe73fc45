import { defineConfig } from "vitest/config";

// One app, one browser at a time: two cores are enough for these, and their times are shown.
export default defineConfig({ test: { fileParallelism: false, hookTimeout: 180_000, testTimeout: 120_000 } });
