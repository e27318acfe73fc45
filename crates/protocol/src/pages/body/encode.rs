//! The bytes of entries.

use ferry_types::{Leaf, Root};

use super::{
    op,
    runs::{self, Run},
    varint::put,
};

/// Targets that equal pages of the base: `frame` is the compressed content, of [`super::encode_copy`].
#[must_use]
pub fn copy_entry(frame: &[u8]) -> Vec<u8> {
    let mut entry = vec![op::COPY];
    put_frame(&mut entry, frame);
    entry
}

/// Targets of zeros.
#[must_use]
pub fn zero_entry(targets: &[Run]) -> Vec<u8> {
    let mut entry = vec![op::ZERO];
    runs::encode(&mut entry, targets);
    entry
}

/// Targets whose content is `frame`, decompressed with the pages `prefix` of the base as prefix.
#[must_use]
pub fn data_entry(targets: &[Run], prefix: &[Run], frame: &[u8]) -> Vec<u8> {
    let mut entry = vec![op::DATA];
    runs::encode(&mut entry, targets);
    runs::encode(&mut entry, prefix);
    put_frame(&mut entry, frame);
    entry
}

/// Targets whose content the hub has staged, by their leaves.
#[must_use]
pub fn staged_entry(targets: &[Run], leaves: &[Leaf]) -> Vec<u8> {
    let mut entry = vec![op::STAGED];
    runs::encode(&mut entry, targets);
    leaves.iter().for_each(|leaf| entry.extend_from_slice(&leaf.0));
    entry
}

/// The end of the body: how many targets it had, and the root of the new image.
#[must_use]
pub fn end_entry(targets: u32, root: &Root) -> Vec<u8> {
    let mut entry = vec![op::END];
    entry.extend_from_slice(&targets.to_le_bytes());
    entry.extend_from_slice(&root.0);
    entry
}

fn put_frame(into: &mut Vec<u8>, frame: &[u8]) {
    put(into, frame.len() as u64);
    into.extend_from_slice(frame);
}
