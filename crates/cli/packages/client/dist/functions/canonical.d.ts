/** Arguments as JSON with sorted keys: equal ones are the same text. */
export declare function canonical(args: unknown): string;
