// One check of a project: what is wrong with it, or else its API.
import { apiText } from "./api.ts";
import { type Diagnostic, diagnosticsOf } from "./diagnostics.ts";
import { openProject } from "./project.ts";
import { loadTypeScript } from "./typescript.ts";

export interface Checked {
  ok: boolean;
  /** The text of `api.d.ts`; absent if something is wrong. */
  apiDts?: string;
  diagnostics: Diagnostic[];
  /** How long it took, milliseconds. */
  ms: number;
}

export interface Checker {
  /** Checks the files as they are now. */
  check(): Checked;
  /** Makes later checks as quick as they get: V8 compiles what it has seen run several times. */
  warmUp(): void;
}

/**
 * Checks the project in the folder `project`, whose functions stand in `directory`, as often as it is asked.
 * @throws Fatal if the project has no TypeScript that can.
 */
export function checkerOf(project: string, directory: string): Checker {
  const typescript = loadTypeScript(project);
  const opened = openProject(typescript, project, directory);
  const check = (): Checked => {
    const begun = performance.now();
    const program = opened.program();
    const diagnostics = diagnosticsOf(typescript, opened, program);
    const entry = opened.entry();
    const ok = diagnostics.length === 0;
    const apiDts = ok ? apiText(typescript, program, entry ? program.getSourceFile(entry) : undefined) : undefined;
    return { ok, ...(apiDts !== undefined && { apiDts }), diagnostics, ms: Math.round(performance.now() - begun) };
  };
  return {
    check,
    warmUp() {
      opened.invalidate();
      check();
    },
  };
}
