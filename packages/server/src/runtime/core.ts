// Everything of ours and of drizzle that runs in a context is one module, evaluated once; the specifiers that programs
// import re-export from it.
import { Buffer } from "../shims/buffer.ts";
import { installJson } from "./json.ts";

export * from "drizzle-orm/sql";
export * from "../index.ts";
export * from "../schema.ts";
export { Buffer };
export { call, callHook } from "./run.ts";
export { inspect } from "./program.ts";

installJson();
// drizzle's blob columns look for it there.
Object.defineProperty(globalThis, "Buffer", { value: Buffer, writable: true, configurable: true, enumerable: false });
