import type ts from "typescript";
import type { TypeScript } from "./typescript.ts";
export interface Project {
    /** Where schema and functions stand. */
    readonly directory: string;
    /** The file that exports the functions, if there is one. */
    entry(): string | undefined;
    /** The files as they are now. */
    program(): ts.Program;
    /** The next program is a new one, whether or not a file has changed. */
    invalidate(): void;
    /** What is wrong with the configuration. */
    readonly configErrors: readonly ts.Diagnostic[];
}
/** Opens the project in the folder `project`, whose Ferry directory is `directory`. */
export declare function openProject(typescript: TypeScript, project: string, directory: string): Project;
/** Whether the file is the developer's: no library. */
export declare function isOwn(program: ts.Program, file: ts.SourceFile): boolean;
