// The process that `ferry dev` asks: one request per line on stdin, one answer per line on stdout.
//   {"id":1,"check":true}  →  {"id":1,"ok":true,"apiDts":"…","diagnostics":[],"ms":120}
// `main.js FERRY_DIR [--once]`, started in the project's folder; `--once` checks, prints and ends with 0 or 1.
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { type Checker, checkerOf } from "./check.ts";
import { Fatal } from "./typescript.ts";

/** Checks that nobody asked for, after the first one and while nothing is asked, so that the first edit is checked quickly too. */
const WARM_UPS = 4;
const WARM_UP_PAUSE_MS = 100;
/** Nothing can be checked here, ever. */
const EXIT_FATAL = 2;

function print(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

function answerTo(line: string, { check }: Checker): object {
  let id: unknown = null;
  try {
    const request = JSON.parse(line) as { id?: unknown; check?: unknown };
    id = request.id ?? null;
    if (request.check !== true) return { id, error: 'expected {"id":…,"check":true}' };
    return { id, ...check() };
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) };
  }
}

async function main([directory = "ferry", ...flags]: string[]): Promise<void> {
  const checker = checkerOf(process.cwd(), resolve(directory));
  if (flags.includes("--once")) {
    const checked = checker.check();
    print({ id: null, ...checked });
    process.exitCode = checked.ok ? 0 : 1;
    return;
  }
  let warmUps = 0;
  const warmUp = () => {
    warmUps += 1;
    checker.warmUp();
    if (warmUps < WARM_UPS) setTimeout(warmUp, WARM_UP_PAUSE_MS).unref();
  };
  let isFirst = true;
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === "") continue;
    print(answerTo(line, checker));
    if (isFirst) setTimeout(warmUp, WARM_UP_PAUSE_MS).unref();
    isFirst = false;
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Fatal)) throw error;
  print({ fatal: error.message });
  process.exitCode = EXIT_FATAL;
}
