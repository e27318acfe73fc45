//! The pointer map of a database with auto_vacuum: for each page what it is, and which page points to it (SQLite file
//! format, section 1.8).

use ferry_types::{PageCount, PageNo};

use super::{Checked, Fault, ImagePages, damaged, node::be32};

/// A byte for what the page is, and the number of the page that points to it.
const ENTRY_BYTES: usize = 5;
/// Page 1 is in no map; this is the first map.
const FIRST_MAP_PAGE: u32 = 2;

/// What the map says of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PointerMapEntry {
    what: u8,
    parent: u32,
}

impl PointerMapEntry {
    pub(super) const ROOT: Self = Self { what: 1, parent: 0 };
    pub(super) const FREE: Self = Self { what: 2, parent: 0 };

    /// First overflow page of a cell on `page`.
    pub(super) const fn overflow_of(page: u32) -> Self {
        Self { what: 3, parent: page }
    }

    /// The next overflow page.
    pub(super) const fn overflow_after(page: u32) -> Self {
        Self { what: 4, parent: page }
    }

    pub(super) const fn child_of(page: PageNo) -> Self {
        Self { what: 5, parent: page.get() }
    }
}

pub(super) struct PointerMap {
    /// A map page and the pages it tells of.
    group: u32,
    lock_page: u32,
    /// The map page that was read last.
    last: (u32, Vec<u8>),
}

impl PointerMap {
    pub(super) fn new(usable: usize, lock_page: PageNo) -> Self {
        let group = u32::try_from(usable / ENTRY_BYTES + 1).expect("BUG: a page is at most 64 KiB");
        Self { group, lock_page: lock_page.get(), last: (0, Vec::new()) }
    }

    /// The map page that tells of `page`.
    const fn map_page(&self, page: u32) -> u32 {
        let map = (page - FIRST_MAP_PAGE) / self.group * self.group + FIRST_MAP_PAGE;
        if map == self.lock_page { map + 1 } else { map }
    }

    pub(super) const fn is_map_page(&self, page: u32) -> bool {
        page >= FIRST_MAP_PAGE && self.map_page(page) == page
    }

    /// Whether the map has this entry for `page`.
    pub(super) fn check<P: ImagePages>(
        &mut self,
        pages: &mut P,
        count: PageCount,
        page: u32,
        entry: PointerMapEntry,
    ) -> Checked<(), P> {
        if page < FIRST_MAP_PAGE {
            return Ok(());
        }
        let map = self.map_page(page);
        if self.last.0 != map {
            let map_no = PageNo::new(map).filter(|map| count.contains(*map));
            let map_no = map_no.ok_or_else(|| damaged(format!("Failed to read ptrmap key={page}")))?;
            pages.read(map_no, &mut self.last.1).map_err(Fault::Source)?;
            self.last.0 = map;
        }
        let at = (page as usize).checked_sub(map as usize + 1).map(|index| index * ENTRY_BYTES);
        let bytes = at.and_then(|at| self.last.1.get(at..at + ENTRY_BYTES));
        let bytes = bytes.ok_or_else(|| damaged(format!("Failed to read ptrmap key={page}")))?;
        let got = PointerMapEntry { what: bytes[0], parent: be32(bytes, 1) };
        if got == entry {
            return Ok(());
        }
        Err(damaged(format!(
            "Bad ptr map entry key={page} expected=({},{}) got=({},{})",
            entry.what, entry.parent, got.what, got.parent
        )))
    }
}
