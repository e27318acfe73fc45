import { type Diagnostic } from "./diagnostics.ts";
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
export declare function checkerOf(project: string, directory: string): Checker;
