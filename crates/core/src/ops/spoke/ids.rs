//! Ids of new ops: UUID version 7 (RFC 9562, 5.7), of a time and of randomness that are handed in.

use ferry_types::{OriginId, UnixMillis};

/// Randomness, 64 bits at a time.
pub type Random<'a> = dyn FnMut() -> u64 + 'a;

/// A new op's id.
pub(super) fn new_op_id(now: UnixMillis, random: &mut Random<'_>) -> String {
    const MS_MASK: u64 = (1 << 48) - 1;
    let ms = now.0.max(0).unsigned_abs() & MS_MASK;
    let high = (ms << 16) | 0x7000 | (random() & 0x0fff);
    let low = (random() >> 2) | (1 << 63);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & MS_MASK
    )
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
