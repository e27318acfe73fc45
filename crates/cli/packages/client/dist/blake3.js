/**
 * BLAKE3 in its plain hash mode, 32 bytes of output: https://github.com/BLAKE3-team/BLAKE3-specs
 *
 * Written for few bytes of code, not for speed: it only decides between two values that one device wrote at one
 * instant.
 */
const BLOCK_BYTES = 64;
const CHUNK_BYTES = 1024;
const CHUNK_START = 1;
const CHUNK_END = 2;
const PARENT = 4;
const ROOT = 8;
/** The first 32 bits of the fractional parts of the square roots of the first primes. */
const IV = Uint32Array.from([2, 3, 5, 7, 11, 13, 17, 19], (prime) => (Math.sqrt(prime) % 1) * 2 ** 32);
/** Where each word of the block comes from in the next round. */
const PERMUTATION = [..."263a704d1bc59ef8"].map((digit) => parseInt(digit, 16));
function compress([cv, block, counter, bytes, flags]) {
    const v = Uint32Array.of(...cv, ...IV.subarray(0, 4), counter, 0, bytes, flags);
    for (let round = 0; round < 7; round++) {
        // Four columns of the 4×4 state, then its four diagonals.
        for (let lane = 0; lane < 8; lane++) {
            const slope = lane >> 2;
            const [a, b, c, d] = [0, 1, 2, 3].map((row) => 4 * row + ((lane + slope * row) & 3));
            for (const half of [0, 1]) {
                v[a] = v[a] + v[b] + block[2 * lane + half];
                v[d] = turn(v[d] ^ v[a], half ? 8 : 16);
                v[c] = v[c] + v[d];
                v[b] = turn(v[b] ^ v[c], half ? 7 : 12);
            }
        }
        block = Uint32Array.from(PERMUTATION, (from) => block[from]);
    }
    return Uint32Array.from(IV, (_, i) => v[i] ^ v[i + 8]);
}
const turn = (word, bits) => (word >>> bits) | (word << (32 - bits));
function tree(input, counter) {
    const chunks = Math.ceil(input.length / CHUNK_BYTES);
    if (chunks > 1) {
        // The left side is the largest complete tree that leaves something for the right.
        const left = 2 ** Math.floor(Math.log2(chunks - 1));
        const cut = left * CHUNK_BYTES;
        const sides = [tree(input.subarray(0, cut), counter), tree(input.subarray(cut), counter + left)];
        return [IV, Uint32Array.from(sides.flatMap((side) => [...compress(side)])), 0, BLOCK_BYTES, PARENT];
    }
    let cv = IV;
    for (let start = 0;; start += BLOCK_BYTES) {
        const bytes = input.subarray(start, start + BLOCK_BYTES);
        const block = new Uint8Array(BLOCK_BYTES);
        block.set(bytes);
        const isLast = start + BLOCK_BYTES >= input.length;
        const flags = (start ? 0 : CHUNK_START) | (isLast ? CHUNK_END : 0);
        // Little-endian, as is every machine that runs a browser.
        const node = [cv, new Uint32Array(block.buffer), counter, bytes.length, flags];
        if (isLast)
            return node;
        cv = compress(node);
    }
}
/** The digest as `hex`. */
export function blake3(input) {
    const root = tree(input, 0);
    root[4] |= ROOT;
    return hex(new Uint8Array(compress(root).buffer));
}
/** Lower-case hexadecimal digits, whose order is the order of the bytes. */
export const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
