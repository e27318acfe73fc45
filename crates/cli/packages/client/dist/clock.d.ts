/**
 * The hybrid logical clock (REC-61): microseconds since 1970, of which the physical milliseconds come from the
 * system and the rest counts. The last three digits of the nanoseconds are the device's own, so that two devices
 * seldom write the same instant.
 */
/** How far ahead of the hub a time may lie before the hub replaces it (REC-04), microseconds. */
export declare const MAX_AHEAD_US: number;
/** The instant in RFC 3339 with nine digits; the last three are taken from the device id, hexadecimal digits. */
export declare function instant(us: number, device: string): string;
/** The whole microseconds of a nine-digit instant; 0 for anything else. */
export declare function microseconds(at: string): number;
