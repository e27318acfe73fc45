/**
 * The hybrid logical clock (REC-61): microseconds since 1970, of which the physical milliseconds come from the
 * system and the rest counts. The last three digits of the nanoseconds are the device's own, so that two devices
 * seldom write the same instant.
 */
/** How far ahead of the hub a time may lie before the hub replaces it (REC-04), microseconds. */
export const MAX_AHEAD_US = 5 * 60 * 1_000_000;
/** The instant in RFC 3339 with nine digits; the last three are taken from the device id, hexadecimal digits. */
export function instant(us, device) {
    const digits = (number) => String(number % 1000).padStart(3, "0");
    return `${new Date(us / 1000).toISOString().slice(0, -1)}${digits(us)}${digits(parseInt(device.slice(0, 8), 16))}Z`;
}
/** The whole microseconds of a nine-digit instant; 0 for anything else. */
export function microseconds(at) {
    return Date.parse(`${at.slice(0, 23)}Z`) * 1000 + Number(at.slice(23, 26)) || 0;
}
