import { type Diagnostic } from "./diagnostics.ts";
export interface Checked {
    ok: boolean;
    /** The text of `api.d.ts`; absent if something is wrong. */
    apiDts?: string;
    diagnostics: Diagnostic[];
    /** How long it took, milliseconds. */
    ms: number;
}
/**
 * What checks the project in the folder `project`, whose functions stand in `directory`, as often as it is called.
 * @throws Fatal if the project has no TypeScript that can.
 */
export declare function checkerOf(project: string, directory: string): () => Checked;
