/**
 * BLAKE3 in its plain hash mode, 32 bytes of output: https://github.com/BLAKE3-team/BLAKE3-specs
 *
 * Written for few bytes of code, not for speed: it only decides between two values that one device wrote at one
 * instant.
 */
/** The digest as `hex`. */
export declare function blake3(input: Uint8Array): string;
/** Lower-case hexadecimal digits, whose order is the order of the bytes. */
export declare const hex: (bytes: Uint8Array) => string;
