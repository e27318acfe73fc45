// What TypeScript says against a project, each with its place and the line that it stands in.
import { relative, sep } from "node:path";
import type ts from "typescript";
import { isOwn, type Project } from "./project.ts";
import type { TypeScript } from "./typescript.ts";

/** Shown at once; who mends these sees the next ones. */
const SHOWN_MAX = 100;

export interface Diagnostic {
  /** Relative to the Ferry directory, with `/`; `null` if it is of no file. */
  file: string | null;
  /** From 1, as is `column`. */
  line: number;
  column: number;
  /** Characters of the line that are meant, for an underline. */
  length: number;
  message: string;
  /** TypeScript's number: `2322` is TS2322. */
  code: number;
  sourceLine: string;
}

function described(typescript: TypeScript, directory: string, diagnostic: ts.Diagnostic): Diagnostic {
  const { file, start, code } = diagnostic;
  const message = typescript.flattenDiagnosticMessageText(diagnostic.messageText, "\n");
  if (!file || start === undefined) return { file: null, line: 1, column: 1, length: 0, message, code, sourceLine: "" };
  const { line, character } = file.getLineAndCharacterOfPosition(start);
  const sourceLine = file.text.slice(file.getPositionOfLineAndCharacter(line, 0)).split(/\r?\n/, 1)[0] ?? "";
  return {
    file: relative(directory, file.fileName).split(sep).join("/"),
    line: line + 1,
    column: character + 1,
    length: Math.max(1, Math.min(diagnostic.length ?? 1, sourceLine.length - character)),
    message,
    code,
    sourceLine,
  };
}

/** In the order of files and lines; none if all is well. */
export function diagnosticsOf(typescript: TypeScript, project: Project, program: ts.Program): Diagnostic[] {
  const found = [
    ...project.configErrors,
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...program.getSourceFiles().filter((file) => isOwn(program, file)).flatMap((file) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ]),
  ];
  return found
    .filter(({ category }) => category === typescript.DiagnosticCategory.Error)
    .slice(0, SHOWN_MAX)
    .map((diagnostic) => described(typescript, project.directory, diagnostic));
}
