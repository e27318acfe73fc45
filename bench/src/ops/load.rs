//! The ops that are pushed: sets of 250 bytes, and as many foreign ones.

use std::fmt::Write as _;

/// Bytes of an op.
pub(super) const OP_BYTES: usize = 250;
/// The first op's time.
pub(super) const BEGIN_MS: u64 = 1_795_168_800_000;
/// Who writes.
pub(super) const ORIGIN: &str = "a1b2c3d4e5f60718";

/// The `number`th op of Ferry's shape: it sets a field of an entity of its own.
pub(super) fn ferry(number: u64) -> String {
    let (ms, counter) = (BEGIN_MS + number / 1000, number % 1000);
    let mut op = format!(
        r#"{{"v":1,"id":"0199a7f2-0000-7000-8000-{number:012}","hlc":"{ms:012x}-{counter:04x}-{ORIGIN}","origin":"{ORIGIN}","kind":"set","entity":"node/{number}","field":"title","value":""#
    );
    pad(&mut op, r#"","base":[]}"#);
    op
}

/// The `number`th foreign op, as hephd's clients write them.
pub(super) fn foreign(number: u64) -> String {
    let mut op = format!(
        r#"{{"hlc":"{:017}-{:04}-laptop","op":"node.set","id":"n{number}","node":"node/{number}","field":"title","value":""#,
        BEGIN_MS + number / 1000,
        number % 1000
    );
    pad(&mut op, r#""}"#);
    op
}

/// A set of a short value, with an id that looks random.
pub(super) fn small(number: u64) -> String {
    let (ms, counter) = (BEGIN_MS + number * 977, 0);
    let random = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let id = format!(
        "{:08x}-{:04x}-7{:03x}-a{:03x}-{:012x}",
        ms >> 16,
        ms & 0xffff,
        random >> 52,
        random >> 40 & 0xfff,
        random & 0xffff_ffff_ffff
    );
    format!(
        r#"{{"v":1,"id":"{id}","hlc":"{ms:012x}-{counter:04x}-{ORIGIN}","origin":"{ORIGIN}","kind":"set","entity":"node/{}","field":"done","value":true,"base":[]}}"#,
        number % 700
    )
}

fn pad(op: &mut String, end: &str) {
    let words = "buy milk and tea at the corner and bring the books back to the library before it closes ";
    let room = OP_BYTES.saturating_sub(op.len() + end.len());
    let _ = write!(op, "{:.room$}{end}", words.repeat(3));
}

/// A batch of consecutive ops.
pub(super) fn batch(make: fn(u64) -> String, first: u64, count: u64) -> Vec<String> {
    (first..first + count).map(make).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_are_of_one_length_and_are_ops() {
        for number in [0, 999_999] {
            assert_eq!((ferry(number).len(), foreign(number).len()), (OP_BYTES, OP_BYTES));
            assert!(ferry_protocol::ops::parse_op(&ferry(number)).is_ok());
            assert!(ferry_protocol::ops::parse_op(&foreign(number)).is_ok());
        }
    }
}
