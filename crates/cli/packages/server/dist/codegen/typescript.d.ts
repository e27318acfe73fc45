export type TypeScript = typeof import("typescript");
/** Nothing can be checked; the message says what to do. */
export declare class Fatal extends Error {
}
/**
 * TypeScript as the project has it installed.
 * @throws Fatal without one that has a language service in JavaScript.
 */
export declare function loadTypeScript(project: string): TypeScript;
