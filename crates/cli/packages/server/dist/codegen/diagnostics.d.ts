import type ts from "typescript";
import { type Project } from "./project.ts";
import type { TypeScript } from "./typescript.ts";
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
/** In the order of files and lines; none if all is well. */
export declare function diagnosticsOf(typescript: TypeScript, project: Project, program: ts.Program): Diagnostic[];
