import type ts from "typescript";
import type { TypeScript } from "./typescript.ts";
/** The text of `api.d.ts`: the same for the same functions, byte for byte. */
export declare function apiText(typescript: TypeScript, program: ts.Program, entry: ts.SourceFile | undefined): string;
