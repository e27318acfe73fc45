/** Values as the wire knows them, and as the application does (REC-67). */
/** What a field may hold. */
export type Json = null | boolean | number | string | Json[] | {
    [name: string]: Json;
};
/** Fields that hold what JSON lacks: dates travel as RFC 3339, bytes as base64. */
export type Kinds = Record<string, "date" | "bytes">;
/**
 * The value as every other device will get it. Members that are `undefined` are as good as absent.
 * @throws TypeError for what would arrive as something else.
 */
export declare function toJson(value: unknown): Json;
/**
 * A field as it travels.
 * @throws TypeError for what cannot travel, or is not of the kind declared.
 */
export declare function encode(value: unknown, kind: Kinds[string] | undefined): Json;
/** A field as the application has it. What is not of the kind declared stays as it came. */
export declare function decode(value: Json, kind: Kinds[string] | undefined): unknown;
/** What a value that was stored travels as, whatever it is. */
export declare function storedToJson(value: unknown): Json;
/** The canonical text of a value: RFC 8785 of what would travel. */
export declare function canonical(value: unknown): string;
/** Whether two values are equal on the wire, where an absent member is `null`. */
export declare function sameValue(a: unknown, b: unknown): boolean;
