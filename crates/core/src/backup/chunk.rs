//! Chunks of an image: 64 consecutive pages from a multiple of 64. Whether one is stored anew, patched or not at all.

use ferry_types::{Leaf, PageCount};

use super::{
    ChunkId,
    map::{MapEntry, PATCHES_MAX, Patch},
};
use crate::pages::tree::{FAN_OUT, Node, parent};

/// Pages of a chunk; the last of an image may have fewer.
pub const PAGES: u32 = FAN_OUT;

/// Chunks of an image of so many pages.
#[must_use]
pub const fn count(pages: PageCount) -> u32 {
    pages.0.div_ceil(PAGES)
}

/// Pages of the chunk at this place, from 0, in an image of so many.
#[must_use]
pub const fn pages_of(chunk: u32, pages: PageCount) -> u32 {
    let before = chunk.saturating_mul(PAGES);
    let left = pages.0.saturating_sub(before);
    if left < PAGES { left } else { PAGES }
}

/// The node of level 1 over the leaves of a chunk.
#[must_use]
pub fn node(leaves: &[Leaf]) -> Node {
    let children: Vec<Node> = leaves.iter().map(|leaf| leaf.0).collect();
    parent(1, &children)
}

/// What becomes of a chunk whose pages are `leaves`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkPlan {
    /// It is as the last snapshot has it.
    Same,
    /// These pages of it are stored singly; those that the last snapshot has stored stay.
    Patched(MapEntry),
    /// It is stored whole.
    Whole(MapEntry),
}

/// Plans a chunk. `last` is what the last snapshot has at its place, `base` the leaves of the chunk that it names, if they
/// are known.
#[must_use]
pub fn plan(leaves: &[Leaf], last: Option<&MapEntry>, base: Option<&[Leaf]>) -> ChunkPlan {
    let node = node(leaves);
    if last.is_some_and(|last| last.node() == node) {
        return ChunkPlan::Same;
    }
    let whole = MapEntry::whole(ChunkId::of_pages(node));
    let (Some(last), Some(base)) = (last, base) else { return ChunkPlan::Whole(whole) };
    if base.len() != leaves.len() {
        return ChunkPlan::Whole(whole);
    }
    let differing = (0_u8..).zip(leaves.iter().zip(base)).filter(|(_, (now, then))| now != then);
    let patches: Vec<Patch> = differing.map(|(page, (leaf, _))| Patch { page, leaf: *leaf }).collect();
    match patches.len() {
        // Back at what is stored.
        0 => ChunkPlan::Patched(whole),
        1..=PATCHES_MAX => ChunkPlan::Patched(MapEntry::patched(last.chunk(), node, patches)),
        _ => ChunkPlan::Whole(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(pages: u8) -> Vec<Leaf> {
        (0..pages).map(|page| Leaf([page; 32])).collect()
    }

    #[test]
    fn a_chunk_is_stored_whole_once_and_then_patched_until_too_much_differs() {
        let base = leaves(64);
        let ChunkPlan::Whole(first) = plan(&base, None, None) else { panic!("it is new") };
        assert_eq!(plan(&base, Some(&first), None), ChunkPlan::Same);
        let mut now = base.clone();
        let mut last = first.clone();
        for changed in 0..PATCHES_MAX {
            now[changed] = Leaf([200; 32]);
            let ChunkPlan::Patched(entry) = plan(&now, Some(&last), Some(&base)) else { panic!("{changed}") };
            assert_eq!((entry.chunk(), entry.patches().len()), (first.chunk(), changed + 1));
            assert_eq!(entry.node(), node(&now));
            last = entry;
        }
        now[PATCHES_MAX] = Leaf([200; 32]);
        assert!(
            matches!(plan(&now, Some(&last), Some(&base)), ChunkPlan::Whole(entry) if entry.node() == node(&now))
        );
        assert_eq!(plan(&base, Some(&last), Some(&base)), ChunkPlan::Patched(first.clone()), "changed back");
        assert!(matches!(plan(&now[..63], Some(&first), Some(&base)), ChunkPlan::Whole(_)), "it lost a page");
        assert!(
            matches!(plan(&now, Some(&first), None), ChunkPlan::Whole(_)),
            "what it differs by is not known"
        );
    }

    #[test]
    fn the_last_chunk_has_what_is_left() {
        assert_eq!((count(PageCount(0)), count(PageCount(64)), count(PageCount(65))), (0, 1, 2));
        assert_eq!(
            (pages_of(0, PageCount(65)), pages_of(1, PageCount(65)), pages_of(2, PageCount(65))),
            (64, 1, 0)
        );
        assert_eq!(count(PageCount(u32::MAX)), 1 << 26);
    }
}
