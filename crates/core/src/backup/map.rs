//! Which chunks an image is made of. Maps are stored in parts, so that snapshots share what did not change.

use ferry_types::Leaf;

use super::{ChunkId, MalformedBackup};
use crate::pages::tree::{FAN_OUT, Node};

/// Entries of a part; the last of a map may have fewer.
pub const PART_ENTRIES: u32 = 1024;
/// Pages of a chunk that may differ from what is stored of it; where more do, it is stored anew.
pub const PATCHES_MAX: usize = 16;

/// A page of a chunk that is stored by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Its place in the chunk, from 0.
    pub page: u8,
    /// Its leaf, by which it is found.
    pub leaf: Leaf,
}

/// A chunk of an image: one that is stored, and the pages in which it differs from that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapEntry {
    chunk: ChunkId,
    node: Node,
    patches: Vec<Patch>,
}

impl MapEntry {
    /// One that is as it is stored.
    #[must_use]
    pub const fn whole(chunk: ChunkId) -> Self {
        Self { chunk, node: chunk.0, patches: Vec::new() }
    }

    /// `chunk` with these pages in place of its own, ascending: then `node` is over its leaves.
    #[must_use]
    pub const fn patched(chunk: ChunkId, node: Node, patches: Vec<Patch>) -> Self {
        Self { chunk, node, patches }
    }

    /// What is stored.
    #[must_use]
    pub const fn chunk(&self) -> ChunkId {
        self.chunk
    }

    /// The node of level 1 over the pages as they are.
    #[must_use]
    pub const fn node(&self) -> Node {
        self.node
    }

    /// What differs.
    #[must_use]
    pub fn patches(&self) -> &[Patch] {
        &self.patches
    }

    /// All that must be read for it.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkId> {
        std::iter::once(self.chunk).chain(self.patches.iter().map(|patch| ChunkId::of_page(patch.leaf)))
    }
}

/// A part as it is stored: of each entry the chunk, the number of patches and, if there are any, the node and of each the
/// place and the leaf.
#[must_use]
pub fn encode_part(entries: &[MapEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * 33);
    for entry in entries {
        bytes.extend_from_slice(&entry.chunk.0);
        bytes.push(u8::try_from(entry.patches.len()).expect("BUG: an entry has at most 16 patches"));
        if !entry.patches.is_empty() {
            bytes.extend_from_slice(&entry.node);
        }
        for patch in &entry.patches {
            bytes.push(patch.page);
            bytes.extend_from_slice(&patch.leaf.0);
        }
    }
    bytes
}

/// Reads a part of `count` entries.
///
/// # Errors
/// When it holds anything else.
pub fn decode_part(bytes: &[u8], count: u32) -> Result<Vec<MapEntry>, MalformedBackup> {
    let mut reader = Reader(bytes);
    let mut entries = Vec::new();
    for _ in 0..count.min(PART_ENTRIES) {
        let chunk = ChunkId(reader.array()?);
        let patch_count = usize::from(reader.byte()?);
        if patch_count > PATCHES_MAX {
            return Err(MalformedBackup::new("a chunk of a map has more than 16 patches"));
        }
        if patch_count == 0 {
            entries.push(MapEntry::whole(chunk));
            continue;
        }
        let node = reader.array()?;
        let mut patches: Vec<Patch> = Vec::with_capacity(patch_count);
        for _ in 0..patch_count {
            let patch = Patch { page: reader.byte()?, leaf: Leaf(reader.array()?) };
            let ascends = patches.last().is_none_or(|last| last.page < patch.page);
            if !ascends || u32::from(patch.page) >= FAN_OUT {
                return Err(MalformedBackup::new("the patches of a chunk are out of order"));
            }
            patches.push(patch);
        }
        entries.push(MapEntry::patched(chunk, node, patches));
    }
    if count > PART_ENTRIES || !reader.0.is_empty() {
        return Err(MalformedBackup::new(
            "a part of a map has another number of entries than its image has chunks",
        ));
    }
    Ok(entries)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedBackup> {
        let (first, rest) =
            self.0.split_first_chunk().ok_or_else(|| MalformedBackup::new("a part of a map is cut off"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn byte(&mut self) -> Result<u8, MalformedBackup> {
        Ok(self.array::<1>()?[0])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = MapEntry> {
        let places = prop::collection::btree_set(0_u8..64, 0..=PATCHES_MAX);
        (any::<[u8; 32]>(), any::<[u8; 32]>(), places).prop_map(|(chunk, node, places)| {
            if places.is_empty() {
                return MapEntry::whole(ChunkId(chunk));
            }
            let patches = places.into_iter().map(|page| Patch { page, leaf: Leaf([page; 32]) }).collect();
            MapEntry::patched(ChunkId(chunk), node, patches)
        })
    }

    proptest! {
        #[test]
        fn a_part_survives_its_bytes(entries in prop::collection::vec(entry(), 0..40)) {
            let count = u32::try_from(entries.len()).unwrap();
            let bytes = encode_part(&entries);
            prop_assert_eq!(decode_part(&bytes, count), Ok(entries));
            prop_assert!(decode_part(&bytes, count + 1).is_err());
            prop_assert!(count == 0 || decode_part(&bytes, count - 1).is_err());
        }

        #[test]
        fn no_bytes_make_the_decoder_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0_u32..2000) {
            let _ = decode_part(&bytes, count);
        }
    }
}
