//! Sketches of pages, by which pages of the base are found that share content with a new page.
//!
//! A gear hash runs over each page; a position where its top bits are zero is an anchor, which depends on the 32 bytes
//! before it alone, wherever they stand in the page.

use ferry_types::PageNo;

/// Bytes that an anchor depends on: each shift by one pushes the oldest byte out of the 32 bits.
const WINDOW: usize = 32;
/// About one position in 2^6 is an anchor where few pages may be references, and in 2^9 where many may: an anchor takes 8
/// bytes, which are 2 % of the image then.
const FINE_BITS: u32 = 6;
const COARSE_BITS: u32 = 9;
/// Up to so many bytes of pages are few.
const FINE_MAX_BYTES: usize = 16 << 20;
/// An anchor in more pages than this tells them apart too badly.
const PAGES_PER_ANCHOR_MAX: usize = 4;
/// Anchors that two pages share before one is a reference of the other.
const SHARED_MIN: u32 = 2;
/// References of a page.
const REFERENCES_MAX: usize = 3;

static GEAR: [u32; 256] = gear();

/// Any fixed numbers without a pattern: SplitMix64.
const fn gear() -> [u32; 256] {
    let mut table = [0; 256];
    let (mut state, mut n) = (0_u64, 0);
    while n < table.len() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[n] = ((mixed ^ (mixed >> 31)) >> 32) as u32;
        n += 1;
    }
    table
}

/// Puts the anchors of a page into `into`, each once.
fn anchors(page: &[u8], bits: u32, into: &mut Vec<u32>) {
    into.clear();
    let mut hash = 0_u32;
    for (at, byte) in page.iter().enumerate() {
        hash = (hash << 1).wrapping_add(GEAR[usize::from(*byte)]);
        if hash >> (u32::BITS - bits) == 0 && at >= WINDOW - 1 {
            into.push(hash);
        }
    }
    into.sort_unstable();
    into.dedup();
}

/// Anchors of the pages that may be references.
#[derive(Debug)]
pub(super) struct SketchIndex {
    bits: u32,
    /// Anchor and page, in one number each; sorted once all are added.
    entries: Vec<u64>,
    room: Vec<u32>,
}

impl SketchIndex {
    /// For pages of so many bytes together.
    pub(super) const fn new(candidate_bytes: usize) -> Self {
        let bits = if candidate_bytes <= FINE_MAX_BYTES { FINE_BITS } else { COARSE_BITS };
        Self { bits, entries: Vec::new(), room: Vec::new() }
    }

    pub(super) fn add(&mut self, page: PageNo, content: &[u8]) {
        anchors(content, self.bits, &mut self.room);
        let number = u64::from(page.get());
        self.entries.extend(self.room.iter().map(|anchor| u64::from(*anchor) << 32 | number));
    }

    /// Makes the index ready for [`Self::references`].
    pub(super) fn seal(&mut self) {
        self.entries.sort_unstable();
        let mut kept = 0;
        let mut from = 0;
        while from < self.entries.len() {
            let anchor = self.entries[from] >> 32;
            let same = self.entries[from..].iter().take_while(|entry| **entry >> 32 == anchor).count();
            if same <= PAGES_PER_ANCHOR_MAX {
                self.entries.copy_within(from..from + same, kept);
                kept += same;
            }
            from += same;
        }
        self.entries.truncate(kept);
        self.entries.shrink_to_fit();
    }

    /// The pages that share most with `content`, best first, appended to `into`.
    pub(super) fn references(&mut self, content: &[u8], into: &mut Vec<PageNo>) {
        anchors(content, self.bits, &mut self.room);
        let mut found: Vec<u32> = Vec::new();
        for anchor in &self.room {
            let key = u64::from(*anchor) << 32;
            let from = self.entries.partition_point(|entry| *entry < key);
            let same = self.entries[from..].iter().take_while(|entry| **entry >> 32 == u64::from(*anchor));
            found.extend(same.map(|entry| *entry as u32));
        }
        found.sort_unstable();
        let mut shared: Vec<(u32, u32)> = Vec::new();
        for page in found {
            match shared.last_mut() {
                Some((last, count)) if *last == page => *count += 1,
                _ => shared.push((page, 1)),
            }
        }
        shared.retain(|(_, count)| *count >= SHARED_MIN);
        shared.sort_unstable_by_key(|(page, count)| (std::cmp::Reverse(*count), *page));
        into.extend(shared.iter().take(REFERENCES_MAX).filter_map(|(page, _)| PageNo::new(*page)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u32, length: usize) -> Vec<u8> {
        let mut state = seed | 1;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 24) as u8
        };
        (0..length).map(next).collect()
    }

    #[test]
    fn a_page_whose_content_moved_is_found() {
        let mut index = SketchIndex::new(4096);
        for n in 1..=50 {
            index.add(PageNo::new(n).unwrap(), &noise(2 * n, 4096));
        }
        index.seal();
        let moved = [noise(999, 700), noise(34, 4096)[..3396].to_vec()].concat();
        let mut found = Vec::new();
        index.references(&moved, &mut found);
        assert_eq!(found, [PageNo::new(17).unwrap()]);
        found.clear();
        index.references(&noise(12_345, 4096), &mut found);
        assert_eq!(found, []);
    }

    #[test]
    fn what_many_pages_share_says_nothing() {
        let mut index = SketchIndex::new(4096);
        for n in 1..=5 {
            index.add(PageNo::new(n).unwrap(), &noise(7, 4096));
        }
        index.seal();
        assert!(index.entries.is_empty());
    }
}
