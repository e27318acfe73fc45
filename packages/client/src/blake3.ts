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

const IV = Uint32Array.of(
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
);
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
/** The columns, then the diagonals of the 4×4 state. */
const LANES = ["048c", "159d", "26ae", "37bf", "05af", "16bc", "278d", "349e"].map((lane) =>
  [...lane].map((digit) => parseInt(digit, 16)),
);

/** A compression that has not been run yet: whether it is the root is known only at the end. */
type Node = { cv: Uint32Array; block: Uint32Array; counter: number; bytes: number; flags: number };

function compress({ cv, block, counter, bytes, flags }: Node): Uint32Array {
  const v = new Uint32Array(16);
  v.set(cv);
  v.set(IV.subarray(0, 4), 8);
  v.set([counter, counter / 2 ** 32, bytes, flags], 12);
  let words = block;
  for (let round = 0; round < 7; round++) {
    LANES.forEach(([a, b, c, d], lane) => mix(v, a!, b!, c!, d!, words[2 * lane]!, words[2 * lane + 1]!));
    words = Uint32Array.from(PERMUTATION, (from) => words[from]!);
  }
  return Uint32Array.from(IV, (_, i) => v[i]! ^ v[i + 8]!);
}

function mix(v: Uint32Array, a: number, b: number, c: number, d: number, x: number, y: number): void {
  for (const [word, far, near] of [[x, 16, 12], [y, 8, 7]] as const) {
    v[a] = v[a]! + v[b]! + word;
    v[d] = turn(v[d]! ^ v[a]!, far);
    v[c] = v[c]! + v[d]!;
    v[b] = turn(v[b]! ^ v[c]!, near);
  }
}

const turn = (word: number, bits: number) => (word >>> bits) | (word << (32 - bits));

/** The last block of the chunk, with the chaining value of those before it. */
function chunk(input: Uint8Array, counter: number): Node {
  let cv: Uint32Array = IV;
  for (let start = 0; ; start += BLOCK_BYTES) {
    const bytes = Math.min(BLOCK_BYTES, input.length - start);
    const padded = new Uint8Array(BLOCK_BYTES);
    padded.set(input.subarray(start, start + bytes));
    // Little-endian, as is every machine that runs a browser.
    const block = new Uint32Array(padded.buffer);
    const node = { cv, block, counter, bytes, flags: start === 0 ? CHUNK_START : 0 };
    if (start + BLOCK_BYTES >= input.length) return { ...node, flags: node.flags | CHUNK_END };
    cv = compress(node);
  }
}

function tree(input: Uint8Array, counter: number): Node {
  const chunks = Math.ceil(input.length / CHUNK_BYTES);
  if (chunks <= 1) return chunk(input, counter);
  // The left side is the largest complete tree that leaves something for the right.
  const left = 2 ** Math.floor(Math.log2(chunks - 1));
  const block = new Uint32Array(16);
  block.set(compress(tree(input.subarray(0, left * CHUNK_BYTES), counter)));
  block.set(compress(tree(input.subarray(left * CHUNK_BYTES), counter + left)), 8);
  return { cv: IV, block, counter: 0, bytes: BLOCK_BYTES, flags: PARENT };
}

/** The digest in lower-case hexadecimal digits, whose order is the order of the bytes. */
export function blake3(input: Uint8Array): string {
  const root = tree(input, 0);
  const words = compress({ ...root, flags: root.flags | ROOT });
  return [...new Uint8Array(words.buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
