import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

test("what the binary carries of this package is what `npm run embed:package` makes", () => {
  const script = new URL("../../embed-package.mjs", import.meta.url).pathname;
  const checked = spawnSync(process.execPath, [script, "--check"], { cwd: new URL("..", import.meta.url), encoding: "utf8" });
  expect(checked.stderr).toBe("");
  expect(checked.status).toBe(0);
}, 60_000);
