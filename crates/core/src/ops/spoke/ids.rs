//! Ids of new ops: UUID version 7 (RFC 9562, 5.7), of a time and of randomness that are handed in.

use ferry_types::{OriginId, UnixMillis, write_hex};

/// Randomness, 64 bits at a time.
pub type Random<'a> = dyn FnMut() -> u64 + 'a;

/// A new op's id.
pub(super) fn new_op_id(now: UnixMillis, random: &mut Random<'_>) -> String {
    let high = (now.0.max(0).unsigned_abs() << 16) | 0x7000 | (random() & 0x0fff);
    let low = (random() >> 2) | (1 << 63);
    let mut text = [b'-'; 36];
    for (digits, value) in
        [(0..8, high >> 32), (9..13, high >> 16), (14..18, high), (19..23, low >> 48), (24..36, low)]
    {
        write_hex(&mut text[digits], value);
    }
    String::from_utf8(text.into()).expect("BUG: hex digits are ASCII")
}

/// A new origin: never zero, which is for what hubs derive (2.6 of the specification).
pub(super) fn new_origin(random: &mut Random<'_>) -> OriginId {
    loop {
        let origin = OriginId(random());
        if origin != OriginId::ZERO {
            return origin;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_and_sort_by_time() {
        let mut random = || u64::MAX;
        assert_eq!(
            new_op_id(UnixMillis(0x0123_4567_89ab), &mut random),
            "01234567-89ab-7fff-bfff-ffffffffffff"
        );
        let mut zero = || 0;
        assert_eq!(new_op_id(UnixMillis(-1), &mut zero), "00000000-0000-7000-8000-000000000000");
        let mut values = [0, 5].into_iter();
        assert_eq!(new_origin(&mut || values.next().unwrap()), OriginId(5));
    }
}
