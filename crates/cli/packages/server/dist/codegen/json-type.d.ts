import type ts from "typescript";
import type { TypeScript } from "./typescript.ts";
/** Writes types of one program, all into one file. */
export declare class JsonTypes {
    #private;
    /** Name of a recursive type → its text, in the order in which they were met. */
    readonly named: Map<string, string>;
    /** `taken` are names that recursive types must not have. */
    constructor(typescript: TypeScript, checker: ts.TypeChecker, taken: Iterable<string>);
    /** The text of what a call gives: it may also be absent. */
    result(type: ts.Type): string;
    /** The text of `type`; `undefined` if JSON has nothing for it, as for functions. */
    text(type: ts.Type, depth?: number): string | undefined;
}
/** Each line of `text` one step to the right. */
export declare function indented(text: string): string;
