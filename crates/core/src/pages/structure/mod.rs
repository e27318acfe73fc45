//! Whether the pages of an image hang together (PAG-07, PAG-19): b-trees, pointers, page bounds.
//!
//! This is the part of SQLite's `quick_check` that tells a torn image from a whole one, in SQLite's words. Rows,
//! constraints, types, virtual tables, unused pages and the freelist's count are no concern of a hub, and no
//! expression of the schema is evaluated: of the schema, root pages alone are read. Each page is read once, so the
//! work is bounded by the size of the image, whatever is in it.

mod map;
mod node;
mod schema;

use ferry_types::{PageCount, PageNo, PageSize};

use self::{
    map::{PointerMap, PointerMapEntry},
    node::{BtreeCell, BtreeNode, TreeKind, be32},
};
use super::PageSet;

/// Deepest b-tree that SQLite opens.
const DEPTH_MAX: usize = 20;

const RESERVED_BYTES_AT: usize = 20;
const FREELIST_AT: usize = 32;
const LARGEST_ROOT_AT: usize = 52;

/// The image that is checked.
pub trait ImagePages {
    /// What reading it can fail with; also ends the check.
    type Error;

    /// Puts a page into `into`, which it fills.
    ///
    /// # Errors
    /// When the page cannot be read, or the check is not wanted any more.
    fn read(&mut self, page: PageNo, into: &mut Vec<u8>) -> Result<(), Self::Error>;
}

/// Why an image did not pass.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault<E> {
    /// The first finding.
    Damaged(String),
    /// The check ended before the image did.
    Source(E),
}

type Checked<T, P> = Result<T, Fault<<P as ImagePages>::Error>>;

fn damaged<E>(finding: impl Into<String>) -> Fault<E> {
    Fault::Damaged(finding.into())
}

/// Checks an image of `count` pages whose page 1 has passed the header check.
///
/// # Errors
/// The first finding, or what reading failed with.
pub fn check<P: ImagePages>(pages: &mut P, size: PageSize, count: PageCount) -> Checked<(), P> {
    let mut page1 = Vec::new();
    pages.read(PageNo::FIRST, &mut page1).map_err(Fault::Source)?;
    let usable = size.bytes() - usize::from(page1[RESERVED_BYTES_AT]);
    let largest_root = be32(&page1, LARGEST_ROOT_AT);
    let mut seen = PageSet::default();
    if count.contains(size.lock_page()) {
        // Nothing may lie on it.
        seen.insert(size.lock_page());
    }
    let map = (largest_root != 0).then(|| PointerMap::new(usable, size.lock_page()));
    let mut check = Check { pages, usable, count, seen, map, roots: Vec::new() };
    check.freelist(be32(&page1, FREELIST_AT))?;
    check.tree(PageNo::FIRST.get())?;
    let roots = std::mem::take(&mut check.roots);
    if let Some(largest) = roots.iter().map(|root| root.page).max().filter(|_| largest_root != 0)
        && largest > largest_root
    {
        return Err(damaged(format!("max rootpage ({largest}) disagrees with header ({largest_root})")));
    }
    for root in roots {
        let kind = check.tree(root.page)?;
        if root.is_index && kind != TreeKind::Index {
            return Err(damaged(format!("Tree {} page {}: not an index", root.page, root.page)));
        }
    }
    Ok(())
}

struct Check<'p, P> {
    pages: &'p mut P,
    /// Bytes of a page less the reserved ones.
    usable: usize,
    count: PageCount,
    /// Pages that something points to.
    seen: PageSet,
    map: Option<PointerMap>,
    /// Of the schema, which is the first tree.
    roots: Vec<schema::TreeRoot>,
}

/// Where in a tree the check stands.
struct TreePosition {
    root: u32,
    page: u32,
}

impl TreePosition {
    fn finding<E>(&self, finding: impl std::fmt::Display) -> Fault<E> {
        damaged(format!("Tree {} page {}: {finding}", self.root, self.page))
    }

    fn cell<E>(&self, cell: usize, finding: impl std::fmt::Display) -> Fault<E> {
        damaged(format!("Tree {} page {} cell {cell}: {finding}", self.root, self.page))
    }
}

impl<P: ImagePages> Check<'_, P> {
    /// Notes that something points to a page; each may be pointed to once. `Err` holds a finding.
    fn claim(&mut self, page: u32) -> Result<PageNo, String> {
        let count = self.count;
        let found = PageNo::new(page).filter(|page| count.contains(*page));
        let page_no = found.ok_or_else(|| format!("invalid page number {page}"))?;
        if self.map.as_ref().is_some_and(|map| map.is_map_page(page)) {
            return Err(format!("Page {page}: pointer map referenced"));
        }
        if !self.seen.insert(page_no) {
            return Err(format!("2nd reference to page {page}"));
        }
        Ok(page_no)
    }

    /// [`Self::claim`], and that the pointer map knows of the pointer.
    fn follow(
        &mut self,
        page: u32,
        entry: PointerMapEntry,
        fault: impl Fn(String) -> Fault<P::Error>,
    ) -> Checked<PageNo, P> {
        let page_no = self.claim(page).map_err(&fault)?;
        if let Some(map) = &mut self.map {
            map.check(self.pages, self.count, page, entry).map_err(|error| match error {
                Fault::Damaged(finding) => fault(finding),
                source @ Fault::Source(_) => source,
            })?;
        }
        Ok(page_no)
    }

    fn read(&mut self, page: PageNo, into: &mut Vec<u8>) -> Checked<(), P> {
        self.pages.read(page, into).map_err(Fault::Source)
    }

    fn freelist(&mut self, mut trunk: u32) -> Checked<(), P> {
        let fault = |finding: String| damaged(format!("Freelist: {finding}"));
        let mut page = Vec::new();
        while trunk != 0 {
            let trunk_no = self.follow(trunk, PointerMapEntry::FREE, fault)?;
            self.read(trunk_no, &mut page)?;
            let leaves = be32(&page, 4) as usize;
            if leaves > self.usable / 4 - 2 {
                return Err(fault(format!("freelist leaf count too big on page {trunk}")));
            }
            for leaf in 0..leaves {
                self.follow(be32(&page, 8 + 4 * leaf), PointerMapEntry::FREE, fault)?;
            }
            trunk = be32(&page, 0);
        }
        Ok(())
    }

    /// The tree at `root`; returns what it is keyed by.
    fn tree(&mut self, root: u32) -> Checked<TreeKind, P> {
        let position = TreePosition { root, page: root };
        let fault = |finding: String| position.finding(finding);
        // Page 1 is in no pointer map.
        let page = if root == PageNo::FIRST.get() {
            self.claim(root).map_err(fault)?
        } else {
            self.follow(root, PointerMapEntry::ROOT, fault)?
        };
        let mut kind = None;
        self.subtree(root, page, &mut kind, 1, &mut { i64::MAX })?;
        Ok(kind.expect("BUG: a tree has a root page"))
    }

    /// A page and what is below it, right to left, whose keys are at most `key`, which becomes the smallest of them. Returns
    /// the levels above the leaves.
    fn subtree(
        &mut self,
        root: u32,
        page_no: PageNo,
        kind: &mut Option<TreeKind>,
        depth: usize,
        key: &mut i64,
    ) -> Checked<usize, P> {
        let position = TreePosition { root, page: page_no.get() };
        if depth > DEPTH_MAX {
            return Err(position.finding("too deep"));
        }
        let mut page = Vec::new();
        self.read(page_no, &mut page)?;
        let parsed = BtreeNode::parse(&page, page_no == PageNo::FIRST, self.usable);
        let node = parsed.map_err(|finding| position.finding(finding))?;
        if *kind.get_or_insert(node.kind) != node.kind {
            return Err(position.finding("its parent is of another kind"));
        }
        let mut cells = Vec::with_capacity(node.cell_count);
        for index in 0..node.cell_count {
            cells.push(node.cell(&page, index).map_err(|finding| position.cell(index, finding))?);
        }
        let covered = node.check_coverage(&page, position.page, &cells);
        covered.map_err(|finding| position.finding(finding))?;
        let mut height = None;
        if !node.is_leaf {
            let right = node.right_child(&page);
            let fault = |finding| damaged(format!("Tree {root} page {page_no} right child: {finding}"));
            let child = self.follow(right, PointerMapEntry::child_of(page_no), fault)?;
            height = Some(self.subtree(root, child, kind, depth + 1, key)?);
        }
        for (index, cell) in cells.iter().enumerate().rev() {
            let is_last = node.is_leaf && index + 1 == cells.len();
            if node.kind == TreeKind::Table {
                if cell.rowid > *key || (cell.rowid == *key && !is_last) {
                    return Err(position.cell(index, format_args!("Rowid {} out of order", cell.rowid)));
                }
                *key = cell.rowid;
            }
            self.payload(&position, index, cell, &page)?;
            if let Some(child) = cell.child {
                let child = self.follow(child, PointerMapEntry::child_of(page_no), |finding| {
                    position.cell(index, finding)
                })?;
                if Some(self.subtree(root, child, kind, depth + 1, key)?) != height {
                    return Err(position.cell(index, "Child page depth differs"));
                }
            }
        }
        Ok(height.map_or(0, |height| height + 1))
    }

    /// The part of a payload that lies on pages of its own; of a row of the schema, its root page is noted.
    fn payload(
        &mut self,
        position: &TreePosition,
        index: usize,
        cell: &BtreeCell,
        page: &[u8],
    ) -> Checked<(), P> {
        let is_schema = position.root == PageNo::FIRST.get() && cell.child.is_none();
        let mut row = is_schema.then(|| schema::SchemaRow::begin(&page[cell.local.clone()]));
        if let Some(first) = cell.overflow {
            let rest = cell.payload_bytes - cell.local.len() as u64;
            let per_page = self.usable as u64 - 4;
            let wanted = rest.div_ceil(per_page);
            let (mut next, mut pages, mut entry) = (first, 0, PointerMapEntry::overflow_of(position.page));
            let mut offset = cell.local.len() as u64;
            let mut data = Vec::new();
            while next != 0 && pages <= wanted {
                let overflow = self.follow(next, entry, |finding| position.cell(index, finding))?;
                self.read(overflow, &mut data)?;
                if let Some(Some(row)) = &mut row {
                    row.add(offset, &data[4..self.usable]);
                }
                offset += per_page;
                entry = PointerMapEntry::overflow_after(next);
                next = be32(&data, 0);
                pages += 1;
            }
            if pages != wanted {
                let finding = format!("overflow list length is {pages} but should be {wanted}");
                return Err(position.cell(index, finding));
            }
        }
        match row {
            Some(None) => Err(position.cell(index, "not a row of the schema")),
            Some(Some(row)) => {
                self.roots.extend(row.root());
                Ok(())
            }
            None => Ok(()),
        }
    }
}
