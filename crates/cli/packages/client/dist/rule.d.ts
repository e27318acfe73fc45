/** The rule of merging (REC-01), the same as the hub's. */
/**
 * When a field was written and by which device: a nine-digit instant, directly followed by the device id. Since
 * instants are equally long, the order of the whole is the order of (time, device).
 */
export type Stamp = string;
/** Length of a nine-digit instant. */
export declare const INSTANT_LENGTH = 30;
/** Whether the write (`stamp`, `value`) takes the place of (`held`, `heldValue`). */
export declare function wins(stamp: Stamp, value: unknown, held: Stamp | undefined, heldValue: unknown): boolean;
