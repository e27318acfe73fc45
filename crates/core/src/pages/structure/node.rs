//! One page of a b-tree: its header, the places of its cells, and whether cells and free space cover it exactly.
//! Offsets are those of the SQLite file format, section 1.6.

use std::ops::Range;

/// Where the b-tree header stands on page 1, behind the database header.
const PAGE1_HEADER_AT: usize = 100;
/// Smallest room of a cell: a freed one must hold a free block.
const CELL_MIN_BYTES: usize = 4;

const TYPE_INDEX_INTERIOR: u8 = 2;
const TYPE_TABLE_INTERIOR: u8 = 5;
const TYPE_INDEX_LEAF: u8 = 10;
const TYPE_TABLE_LEAF: u8 = 13;

/// What a b-tree is keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TreeKind {
    /// By rowid.
    Table,
    /// By records: indexes and WITHOUT ROWID tables.
    Index,
}

/// A parsed page.
#[derive(Debug)]
pub(super) struct BtreeNode {
    pub(super) kind: TreeKind,
    pub(super) is_leaf: bool,
    pub(super) cell_count: usize,
    header_at: usize,
    content_at: usize,
    usable: usize,
}

/// One cell.
#[derive(Debug)]
pub(super) struct BtreeCell {
    /// The child on its left; interior pages only.
    pub(super) child: Option<u32>,
    /// Key of a table's cell; 0 in an index.
    pub(super) rowid: i64,
    /// Bytes of the whole payload, and where its first part stands on the page.
    pub(super) payload_bytes: u64,
    pub(super) local: Range<usize>,
    /// First page of the rest.
    pub(super) overflow: Option<u32>,
    /// What the cell takes of the page.
    room: Range<usize>,
}

impl BtreeNode {
    /// Reads the header and checks that the free blocks lie on the page, ascending and apart. `Err` holds a finding.
    pub(super) fn parse(page: &[u8], is_page1: bool, usable: usize) -> Result<Self, String> {
        let header_at = if is_page1 { PAGE1_HEADER_AT } else { 0 };
        let (kind, is_leaf) = match page[header_at] {
            TYPE_INDEX_INTERIOR => (TreeKind::Index, false),
            TYPE_TABLE_INTERIOR => (TreeKind::Table, false),
            TYPE_INDEX_LEAF => (TreeKind::Index, true),
            TYPE_TABLE_LEAF => (TreeKind::Table, true),
            _ => return Err("not a b-tree page".to_owned()),
        };
        let cell_count = be16(page, header_at + 3);
        // 0 stands for 65,536.
        let content_at = match be16(page, header_at + 5) {
            0 => 1 << 16,
            at => at,
        };
        let node = Self { kind, is_leaf, cell_count, header_at, content_at, usable };
        let mut free = content_at + usize::from(page[header_at + 7]);
        for block in node.free_blocks(page) {
            free += block?.len();
        }
        if content_at > usable || free > usable || free < node.cells_at() + 2 * cell_count {
            return Err("free space corruption".to_owned());
        }
        Ok(node)
    }

    /// Where the array of cell pointers begins.
    const fn cells_at(&self) -> usize {
        self.header_at + if self.is_leaf { 8 } else { 12 }
    }

    /// The child right of all cells.
    pub(super) fn right_child(&self, page: &[u8]) -> u32 {
        be32(page, self.header_at + 8)
    }

    /// Cell number `index`. `Err` holds a finding.
    pub(super) fn cell(&self, page: &[u8], index: usize) -> Result<BtreeCell, String> {
        let at = be16(page, self.cells_at() + 2 * index);
        let last = self.usable - CELL_MIN_BYTES;
        if at < self.content_at || at > last {
            return Err(format!("Offset {at} out of range {}..{last}", self.content_at));
        }
        self.cell_at(page, at).ok_or_else(|| "Extends off end of page".to_owned())
    }

    fn cell_at(&self, page: &[u8], at: usize) -> Option<BtreeCell> {
        let page = &page[..self.usable];
        let mut next = at;
        let child = (!self.is_leaf).then(|| be32(page, at));
        next += child.map_or(0, |_| 4);
        let has_payload = self.is_leaf || self.kind == TreeKind::Index;
        let payload_bytes = if has_payload { varint(page, &mut next)? } else { 0 };
        let rowid = match self.kind {
            TreeKind::Table => varint(page, &mut next)?.cast_signed(),
            TreeKind::Index => 0,
        };
        let local_bytes = local_bytes(payload_bytes, self.kind, self.usable);
        let local = next..next + local_bytes;
        let spills = local_bytes as u64 != payload_bytes;
        let end = if spills { local.end + 4 } else { local.end.max(at + CELL_MIN_BYTES) };
        if end > self.usable {
            return None;
        }
        let overflow = spills.then(|| be32(page, local.end));
        Some(BtreeCell { child, rowid, payload_bytes, local, overflow, room: at..end })
    }

    /// Checks that cells, free blocks and the counted fragments fill the page from its content on, each byte once.
    pub(super) fn check_coverage(
        &self,
        page: &[u8],
        page_no: u32,
        cells: &[BtreeCell],
    ) -> Result<(), String> {
        let mut rooms: Vec<Range<usize>> = cells.iter().map(|cell| cell.room.clone()).collect();
        for block in self.free_blocks(page) {
            rooms.push(block?);
        }
        rooms.sort_unstable_by_key(|room| room.start);
        let (mut end, mut fragments) = (self.content_at, 0);
        for room in rooms {
            if room.start < end {
                return Err(format!("Multiple uses for byte {} of page {page_no}", room.start));
            }
            fragments += room.start - end;
            end = room.end;
        }
        fragments += self.usable - end;
        let stated = usize::from(page[self.header_at + 7]);
        if fragments != stated {
            return Err(format!("Fragmentation of {fragments} bytes reported as {stated} on page {page_no}"));
        }
        Ok(())
    }

    /// The list of free blocks, until it ends or leaves the page.
    fn free_blocks<'p>(
        &self,
        page: &'p [u8],
    ) -> impl Iterator<Item = Result<Range<usize>, String>> + use<'p> {
        let (usable, mut least) = (self.usable, self.content_at);
        let mut next = be16(page, self.header_at + 1);
        std::iter::from_fn(move || {
            if next == 0 {
                return None;
            }
            let at = std::mem::take(&mut next);
            if at < least || at > usable - CELL_MIN_BYTES {
                return Some(Err("free space corruption".to_owned()));
            }
            let block = at..at + be16(page, at + 2);
            if block.end > usable || block.len() < CELL_MIN_BYTES {
                return Some(Err("free space corruption".to_owned()));
            }
            next = be16(page, at);
            // Blocks nearer than a smallest block would have been joined.
            least = block.end + CELL_MIN_BYTES;
            Some(Ok(block))
        })
    }
}

/// How much of a payload stands in the cell itself (section 1.6, "the amount of payload that spills").
fn local_bytes(payload_bytes: u64, kind: TreeKind, usable: usize) -> usize {
    let max = match kind {
        TreeKind::Table => usable - 35,
        TreeKind::Index => (usable - 12) * 64 / 255 - 23,
    };
    if payload_bytes <= max as u64 {
        return usize::try_from(payload_bytes).unwrap_or(max);
    }
    let min = (usable - 12) * 32 / 255 - 23;
    let rest = (payload_bytes - min as u64) % (usable as u64 - 4);
    let local = min + usize::try_from(rest).expect("BUG: less than a page");
    if local <= max { local } else { min }
}

/// A big-endian number of 1 to 9 bytes; moves `at` behind it.
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for index in 0..9 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if index == 8 {
            return Some(number << 8 | u64::from(byte));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            break;
        }
    }
    Some(number)
}

pub(super) fn be16(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])
}

pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
