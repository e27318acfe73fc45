//! The digests of the local image: leaves and the tree above them, as the state has them and as they have changed since.
//! Only rows that are looked at are read, so that a changed row of a large file costs its path to the top.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use ferry_core::pages::tree::{self, FAN_OUT, Node, NodeStore};
use ferry_types::{Leaf, PageCount, PageNo, PageSize, Root};

use super::{
    FileMark, SyncState, Synced,
    rows::{LEVELS, RowKey, TreeRows},
};
use crate::Result;

/// The tree over an image.
#[derive(Default)]
pub struct ImageTree {
    /// Where rows that are not in memory are.
    stored: Option<SyncState>,
    rows: HashMap<RowKey, Vec<Node>>,
    /// Rows that differ from the stored ones.
    changed: HashSet<RowKey>,
    page_count: PageCount,
    /// Pages whose leaf was set since the nodes above were brought up to date.
    touched: Vec<PageNo>,
    /// Pages of the image whose nodes are up to date.
    settled: PageCount,
}

impl ImageTree {
    /// That of an image whose leaves these are, page 1 first.
    #[must_use]
    pub fn of_leaves(leaves: &[Leaf]) -> Self {
        let page_count = PageCount(u32::try_from(leaves.len()).expect("BUG: a page number has 32 bits"));
        let mut tree = Self { page_count, touched: page_count.pages().collect(), ..Self::default() };
        for (row, leaves) in (0..).zip(leaves.chunks(FAN_OUT as usize)) {
            tree.put(RowKey { level: 0, row }, leaves.iter().map(|leaf| leaf.0).collect());
        }
        let _never_fails = tree.settle();
        tree
    }

    /// That of the image that `state` tells of; `None` where the state has none.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn stored(state: SyncState, page_count: PageCount) -> Result<Result<Self, SyncState>> {
        if page_count.0 > 0 {
            let last = RowKey::of(0, page_count.0 - 1);
            let digests = (page_count.0 - 1) % FAN_OUT + 1;
            if state.row(last)?.len() != digests as usize {
                return Ok(Err(state));
            }
        }
        Ok(Ok(Self { stored: Some(state), page_count, settled: page_count, ..Self::default() }))
    }

    /// The same digests, all of which the state lacks.
    #[must_use]
    pub fn kept_in(mut self, state: Option<SyncState>) -> Self {
        self.stored = state;
        self
    }

    /// Takes the state out: what is not in memory cannot be read any more.
    pub(in crate::pages) const fn take_state(&mut self) -> Option<SyncState> {
        self.stored.take()
    }

    /// The state that rows are read from.
    #[must_use]
    pub const fn state(&self) -> Option<&SyncState> {
        self.stored.as_ref()
    }

    pub(super) const fn state_mut(&mut self) -> Option<&mut SyncState> {
        self.stored.as_mut()
    }

    /// Pages of the image.
    #[must_use]
    pub const fn page_count(&self) -> PageCount {
        self.page_count
    }

    /// The state, made where there was none.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn state_of(&mut self, file: &Path) -> Result<&mut SyncState> {
        if self.stored.is_none() {
            self.stored = Some(SyncState::create(file)?);
        }
        Ok(self.stored.as_mut().expect("BUG: it was just made"))
    }

    /// Records it as the tree of `synced`, in the state of `file`, which is made where there is none.
    ///
    /// # Errors
    /// When the state cannot be made or written.
    pub fn record_as(&mut self, file: &Path, synced: &Synced, mark: Option<&FileMark>) -> Result<()> {
        debug_assert_eq!(self.page_count, synced.page_count, "BUG: digests of another image");
        self.settle()?;
        self.state_of(file)?;
        let mut state = self.stored.take().expect("BUG: it was just made");
        let recorded = state.record(synced, &self.rows_to_record(), mark);
        self.stored = Some(state);
        recorded?;
        self.changed.clear();
        Ok(())
    }

    /// The same; that it cannot be written is no failure, in a folder that takes no files for one: the next sync finds out
    /// by asking the hub.
    pub(crate) fn record_or_warn(
        &mut self,
        file: &Path,
        synced: &Synced,
        mark: Option<&FileMark>,
    ) -> Result<()> {
        if let Err(error) = self.record_as(file, synced, mark) {
            let shown = file.display();
            tracing::warn!("{shown} is synced, which cannot be noted beside it: {}", error.message);
        }
        super::point("sync.state")
    }

    /// The leaf of a page of the image.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn leaf(&mut self, page: PageNo) -> Result<Leaf> {
        let n = page.get() - 1;
        let row = self.row(RowKey::of(0, n))?;
        Ok(Leaf(row.get((n % FAN_OUT) as usize).copied().unwrap_or([0; 32])))
    }

    /// The leaf that the state has of a page, whatever was set since; `None` if it has none.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn stored_leaf(&mut self, page: PageNo) -> Result<Option<Leaf>> {
        let n = page.get() - 1;
        let key = RowKey::of(0, n);
        let at = (n % FAN_OUT) as usize;
        if !self.changed.contains(&key) {
            return Ok(self.row(key)?.get(at).copied().map(Leaf));
        }
        let Some(state) = &self.stored else { return Ok(None) };
        Ok(state.row(key)?.get(at).copied().map(Leaf))
    }

    /// Sets the number of pages. New ones have the lock page's leaf until they are set.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn resize(&mut self, count: PageCount) -> Result<()> {
        let old = self.page_count;
        self.page_count = count;
        if count.0 < old.0 && count.0 > 0 {
            // It is written anew without what is cut off.
            let last = RowKey::of(0, count.0 - 1);
            self.row(last)?;
            self.changed.insert(last);
        }
        for n in old.0..count.0 {
            let page = PageNo::new(n + 1).expect("BUG: pages count from 1");
            self.set(page, Leaf::LOCK_PAGE)?;
        }
        Ok(())
    }

    /// Sets the leaf of a page of the image.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn set(&mut self, page: PageNo, leaf: Leaf) -> Result<()> {
        let n = page.get() - 1;
        let (key, at) = (RowKey::of(0, n), (n % FAN_OUT) as usize);
        self.row(key)?;
        let row = self.rows.entry(key).or_default();
        if row.len() <= at {
            row.resize(at + 1, [0; 32]);
        }
        row[at] = leaf.0;
        self.changed.insert(key);
        self.touched.push(page);
        Ok(())
    }

    /// The root of the image.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn root(&mut self, page_size: PageSize) -> Result<Root> {
        let top = self.settle()?;
        let page_size = (self.page_count.0 > 0).then_some(page_size);
        Ok(tree::root(page_size, self.page_count, &top))
    }

    /// All digests of a level, in order.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn level(&mut self, level: u8) -> Result<Vec<Node>> {
        self.settle()?;
        let nodes = tree::nodes(self.page_count, level);
        let mut all = Vec::with_capacity(nodes as usize);
        self.read(level, 0, nodes, &mut all)?;
        Ok(all)
    }

    /// Rows that differ from what the state has. What a row had beyond the end of its level is left out.
    fn rows_to_record(&self) -> TreeRows<'_> {
        let changed = self.changed.iter().filter_map(|key| {
            let row = self.rows.get(key)?;
            let nodes =
                if key.row < self.rows_of(key.level) { tree::nodes(self.page_count, key.level) } else { 0 };
            let most = nodes.saturating_sub(key.row * FAN_OUT).min(FAN_OUT) as usize;
            (most > 0).then(|| (*key, &row[..row.len().min(most)]))
        });
        let mut counts = [0; LEVELS as usize];
        for (level, count) in (0..).zip(&mut counts) {
            *count = self.rows_of(level);
        }
        TreeRows { changed: changed.collect(), counts }
    }

    /// How many rows a level has.
    const fn rows_of(&self, level: u8) -> u32 {
        // The top is a level of one digest; there is none above.
        if level > tree::top_level(self.page_count) {
            return 0;
        }
        tree::nodes(self.page_count, level).div_ceil(FAN_OUT)
    }

    /// Brings the nodes above changed leaves up to date; the top.
    fn settle(&mut self) -> Result<Node> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let old = std::mem::replace(&mut self.settled, self.page_count);
        tree::update(self, old, self.page_count, touched)
    }

    fn row(&mut self, key: RowKey) -> Result<&[Node]> {
        if !self.rows.contains_key(&key) {
            let row = self.stored.as_ref().map_or_else(|| Ok(Vec::new()), |state| state.row(key))?;
            self.rows.insert(key, row);
        }
        Ok(&self.rows[&key])
    }

    fn put(&mut self, key: RowKey, row: Vec<Node>) {
        self.rows.insert(key, row);
        self.changed.insert(key);
    }
}

impl NodeStore for ImageTree {
    type Error = crate::ClientError;

    fn read(&mut self, level: u8, first: u32, end: u32, into: &mut Vec<Node>) -> Result<()> {
        let mut n = first;
        while n < end {
            let upto = end.min((n / FAN_OUT + 1) * FAN_OUT);
            let row = self.row(RowKey::of(level, n))?;
            for at in n..upto {
                into.push(row.get((at % FAN_OUT) as usize).copied().unwrap_or([0; 32]));
            }
            n = upto;
        }
        Ok(())
    }

    fn write(&mut self, level: u8, n: u32, node: &Node) -> Result<()> {
        let (key, at) = (RowKey::of(level, n), (n % FAN_OUT) as usize);
        self.row(key)?;
        let row = self.rows.entry(key).or_default();
        if row.len() <= at {
            row.resize(at + 1, [0; 32]);
        }
        row[at] = *node;
        self.changed.insert(key);
        Ok(())
    }

    fn truncate(&mut self, _level: u8, _count: u32) -> Result<()> {
        // Nothing is read beyond the end of a level, nor recorded, and what grows there again is written first.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ferry_core::pages::tree::RootBuilder;

    use super::*;

    fn leaf(n: u32, salt: u8) -> Leaf {
        let mut leaf = [salt; 32];
        leaf[..4].copy_from_slice(&n.to_le_bytes());
        Leaf(leaf)
    }

    fn root(leaves: &[Leaf]) -> Root {
        let mut builder = RootBuilder::default();
        leaves.iter().for_each(|leaf| builder.push(leaf));
        builder.finish(PageSize::DEFAULT)
    }

    // Verifies: PAG-61
    #[test]
    fn the_stored_tree_shrinks_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.db");
        for (pages, rows) in [(5000_u32, [79, 2, 1]), (1, [1, 0, 0]), (65, [2, 1, 1])] {
            let mut tree = ImageTree::of_leaves(&vec![leaf(pages, 1); pages as usize]);
            let root = tree.root(PageSize::DEFAULT).unwrap();
            tree.record_as(&file, &synced(pages, root), None).unwrap();
            let state = SyncState::open(&file).unwrap().unwrap();
            for (level, rows) in (0..).zip(rows) {
                let is_there = |row: &u32| !state.row(RowKey { level, row: *row }).unwrap().is_empty();
                assert_eq!((0..100).filter(is_there).count(), rows, "{pages} pages, level {level}");
            }
        }
    }

    fn synced(pages: u32, root: Root) -> Synced {
        Synced {
            server: "http://localhost:8787".into(),
            database: "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            name: "x".into(),
            version: Some(pages.into()),
            root,
            page_size: PageSize::DEFAULT,
            page_count: PageCount(pages),
        }
    }

    /// Random changes and sizes, recorded or not: the root is that of a tree built anew.
    // Verifies: PAG-61
    #[test]
    fn changes_over_a_stored_tree_give_the_root_of_the_leaves() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.db");
        let mut leaves: Vec<Leaf> = (0..70).map(|n| leaf(n, 0)).collect();
        let mut tree = ImageTree::of_leaves(&leaves);
        let mut seed = 1_u64;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(seed >> 33).unwrap() % below
        };
        for step in 0..300_u32 {
            let count = match random(4) {
                0 => random(9000) + 1,
                1 => [64, 65, 4096, 4097, 1, 63, 128][random(7) as usize],
                _ => u32::try_from(leaves.len()).unwrap(),
            };
            leaves.resize(count as usize, Leaf::LOCK_PAGE);
            tree.resize(PageCount(count)).unwrap();
            for _ in 0..random(20) {
                let n = random(count);
                leaves[n as usize] = leaf(n, u8::try_from(step % 251).unwrap());
                tree.set(PageNo::new(n + 1).unwrap(), leaves[n as usize]).unwrap();
            }
            assert_eq!(tree.root(PageSize::DEFAULT).unwrap(), root(&leaves), "step {step}, {count} pages");
            let n = random(count);
            assert_eq!(tree.leaf(PageNo::new(n + 1).unwrap()).unwrap(), leaves[n as usize]);
            if random(3) == 0 {
                let synced = synced(count, root(&leaves));
                tree.record_as(&file, &synced, None).unwrap();
                if random(2) == 0 {
                    drop(tree);
                    let state = SyncState::open(&file).unwrap().unwrap();
                    tree = ImageTree::stored(state, PageCount(count)).unwrap().ok().unwrap();
                }
            }
        }
    }
}
