/** The rule of merging (REC-01), the same as the hub's. */
import { blake3, hex } from "./blake3.js";
import { canonical, sameValue } from "./json.js";
/** Length of a nine-digit instant. */
export const INSTANT_LENGTH = 30;
const utf8 = (text) => new TextEncoder().encode(text);
/** Whether `a` is greater than `b` by UTF-8 bytes. UTF-16 order differs where surrogates meet U+E000 to U+FFFF. */
const isGreater = (a, b) => (/[\ud800-\udfff]/.test(a + b) ? hex(utf8(a)) > hex(utf8(b)) : a > b);
const digest = (value) => blake3(utf8(canonical(value)));
/** Whether the write (`stamp`, `value`) takes the place of (`held`, `heldValue`). */
export function wins(stamp, value, held, heldValue) {
    if (!held)
        return true;
    if (stamp !== held)
        return isGreater(stamp, held);
    return !sameValue(value, heldValue) && digest(value) > digest(heldValue);
}
