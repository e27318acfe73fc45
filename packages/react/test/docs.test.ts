/** What the README shows is TypeScript that the package accepts. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

/** The functions that the page calls, as a project's generated types say it. */
const API = `
  interface Api {
    listTodos: { kind: "query"; args: { list: string }; result: { id: number; title: string }[] };
    addTodo: { kind: "mutation"; args: { list: string; title: string }; result: { id: number } };
  }
  declare module "@ferry/client/functions" { interface Register { api: Api } }
  export {};
`;
const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

test("the code of the README", () => {
  const blocks = [...readFileSync(path("../README.md"), "utf8").matchAll(/^```tsx\n([^]*?)^```$/gm)].map(([, code]) => code!);
  expect(blocks.length).toBeGreaterThan(0);
  blocks.push(API);
  const files = new Map(blocks.map((code, i) => [path(`./block${i}.tsx`), code]));
  const { compilerOptions } = ts.parseConfigFileTextToJson("", readFileSync(path("../tsconfig.json"), "utf8")).config;
  const { options, errors } = ts.convertCompilerOptionsFromJson({ ...compilerOptions, paths: { "@ferry/react": ["./src/index.ts"] } }, path(".."));
  expect(errors).toEqual([]);
  const host = ts.createCompilerHost(options);
  const { fileExists, getSourceFile } = host;
  host.fileExists = (name) => files.has(name) || fileExists(name);
  host.getSourceFile = (name, ...rest) => {
    const code = files.get(name);
    return code === undefined ? getSourceFile(name, ...rest) : ts.createSourceFile(name, code, ts.ScriptTarget.ES2022);
  };
  const program = ts.createProgram([...files.keys()], options, host);
  const wrong = ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
  expect(wrong).toEqual([]);
}, 60_000);
