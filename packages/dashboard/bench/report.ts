/** Where what was measured goes: to the terminal, and to target/bench. */

import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { hub } from "../test/page.ts";
import { binary } from "../test/hub.ts";

const FOLDER = new URL("../../../target/bench/", import.meta.url).pathname;

/** A setting of a measurement, from the environment. */
export const setting = (name: string, usual: number): number => Number(process.env[name] ?? usual);

export function report(name: string, found: Record<string, unknown>): void {
  mkdirSync(FOLDER, { recursive: true });
  const told = { name, binary, cores: cpus().length, at: new Date().toISOString(), ...found };
  writeFileSync(`${FOLDER}dashboard-${name}.json`, `${JSON.stringify(told, undefined, 2)}\n`);
  console.log(Object.entries(found).map(([what, value]) => `${what.padEnd(44)} ${typeof value === "object" ? JSON.stringify(value) : value}`).join("\n"));
}

/** The middle and the worst of some numbers. */
export function spread(values: number[], digits = 1): string {
  const sorted = [...values].sort((a, b) => a - b);
  return `median ${sorted[Math.floor(sorted.length / 2)]?.toFixed(digits)}, worst ${sorted.at(-1)?.toFixed(digits)} of ${sorted.length}`;
}

/** Seconds of CPU that the hub has used, and its memory. */
export async function used(token: string): Promise<{ seconds: number; bytes: number }> {
  const text = await (await fetch(`${hub.url}/metrics`, { headers: { Authorization: `Bearer ${token}` } })).text();
  const value = (name: string) => Number(new RegExp(`^${name} ([\\d.e+]+)$`, "m").exec(text)?.[1] ?? NaN);
  return { seconds: value("process_cpu_seconds_total"), bytes: value("process_resident_memory_bytes") };
}
