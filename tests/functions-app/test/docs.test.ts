// The commands and flags that docs/functions names exist.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { help } from "./app.ts";

const DOCS = new URL("../../../docs/functions/", import.meta.url).pathname;

test("the commands and flags that these pages name exist", async () => {
  const unknown: string[] = [];
  const helps = new Map<string, Promise<string>>();
  for (const page of readdirSync(DOCS)) {
    const markdown = readFileSync(join(DOCS, page), "utf8");
    const shell = [...markdown.matchAll(/```sh\n([^]*?)```/g)].flatMap(([, lines]) => lines!.split("\n"));
    const spans = [...markdown.replace(/```[^]*?```/g, "").matchAll(/`([^`]+)`/g)].map(([, span]) => span!);
    for (const line of [...shell, ...spans].filter((line) => line.startsWith("ferry "))) {
      const [words] = /^ferry( [a-z]+)+/.exec(line.split("#")[0]!) ?? [""];
      const names = words.split(" ").slice(1);
      let text = "";
      for (let length = Math.min(2, names.length); length > 0 && text === ""; length--) {
        const path = names.slice(0, length);
        if (!helps.has(path.join(" "))) helps.set(path.join(" "), help(path));
        text = await helps.get(path.join(" "))!;
      }
      const flags = line.split("#")[0]!.match(/--[a-z-]+/g) ?? [];
      if (text === "" || flags.some((flag) => !text.includes(flag))) unknown.push(`${page}: ${line}`);
    }
  }
  expect(unknown).toEqual([]);
});
