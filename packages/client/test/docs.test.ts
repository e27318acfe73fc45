/** What the documentation shows is TypeScript that the package accepts. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
/** Names that the pages take from the reader's own application. */
const OWN = "declare const session: { token(): Promise<string> };\n";

// In the tarball there is nothing above the package.
test("links of the README lead nowhere outside of the package", () => {
  expect(readFileSync(path("../README.md"), "utf8")).not.toMatch(/\]\(\.\.\//);
});

test.each(["../README.md", "../../../docs/records.md"])("the code of %s", (page) => {
  const blocks = [...readFileSync(path(page), "utf8").matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => OWN + code);
  expect(blocks.length).toBeGreaterThan(0);
  const files = new Map(blocks.map((code, i) => [path(`./block${i}.ts`), code]));
  const { compilerOptions } = ts.parseConfigFileTextToJson("", readFileSync(path("../tsconfig.json"), "utf8")).config;
  const { options, errors } = ts.convertCompilerOptionsFromJson({ ...compilerOptions, paths: { "@ferry/client": ["./src/index.ts"], "@ferry/client/*": ["./src/*.ts"] } }, path(".."));
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
