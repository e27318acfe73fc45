//! Leaves, tree and root (pages specification, section 2.1).
//!
//! A leaf is the BLAKE3 of a page. Sixty-four nodes of one level have a parent on the next:
//! BLAKE3(level byte ‖ children). The first level with one node is the top; the root is
//! BLAKE3(domain ‖ page size ‖ page count ‖ top). A changed page touches only its path to the top.

use std::{convert::Infallible, sync::LazyLock};

use ferry_types::{Leaf, PageCount, PageNo, PageSize, Root};

use super::header;

/// Children of a node.
pub const FAN_OUT: u32 = 64;
/// What the input of a root begins with.
const ROOT_DOMAIN: &[u8] = b"ferry.pages.root.v1";

/// A node's digest. On level 0 it is a leaf.
pub type Node = [u8; 32];

/// The leaf of a page other than page 1 and the lock page: BLAKE3 of the page as it is.
#[must_use]
pub fn leaf(data: &[u8]) -> Leaf {
    Leaf(*blake3::hash(data).as_bytes())
}

/// The page size whose page of zeros has this leaf.
#[must_use]
pub fn zero_page_size(leaf: &Leaf) -> Option<PageSize> {
    static ZERO_LEAVES: LazyLock<Vec<(PageSize, Leaf)>> = LazyLock::new(|| {
        let sizes = (9..=16).filter_map(|log2| PageSize::new(1 << log2));
        sizes.map(|size| (size, self::leaf(&vec![0; size.bytes()]))).collect()
    });
    ZERO_LEAVES.iter().find(|(_, zero)| zero == leaf).map(|(size, _)| *size)
}

/// The leaf of `page` in an image of `count` pages of the length of `data`. `page1` is room for one page.
#[must_use]
pub fn leaf_of(page: PageNo, count: PageCount, data: &[u8], page1: &mut Vec<u8>) -> Leaf {
    let lock_page = u32::try_from(data.len()).ok().and_then(PageSize::new).map(PageSize::lock_page);
    if lock_page == Some(page) {
        return Leaf::LOCK_PAGE;
    }
    if page != PageNo::FIRST {
        return leaf(data);
    }
    page1.clear();
    page1.extend_from_slice(data);
    header::normalize(page1, count);
    leaf(page1)
}

/// The root over a top node.
#[must_use]
pub fn root(page_size: Option<PageSize>, count: PageCount, top: &Node) -> Root {
    let mut hasher = blake3::Hasher::new();
    hasher.update(ROOT_DOMAIN);
    hasher.update(&page_size.map_or(0, PageSize::get).to_le_bytes());
    hasher.update(&count.0.to_le_bytes());
    hasher.update(top);
    Root(*hasher.finalize().as_bytes())
}

/// The root of the empty database.
#[must_use]
pub fn empty_root() -> Root {
    root(None, PageCount(0), &[0; 32])
}

/// Nodes of `level` in an image of `count` pages.
#[must_use]
pub const fn nodes(count: PageCount, level: u8) -> u32 {
    let mut nodes = count.0;
    let mut below = 0;
    while below < level {
        nodes = nodes.div_ceil(FAN_OUT);
        below += 1;
    }
    nodes
}

/// The level of the top node: the first with one node.
#[must_use]
pub const fn top_level(count: PageCount) -> u8 {
    let mut level = 0;
    while nodes(count, level) > 1 {
        level += 1;
    }
    level
}

/// Where the nodes of a tree are kept: in memory, in a table. Level 0 holds the leaves.
pub trait NodeStore {
    /// What reading or writing nodes can fail with.
    type Error;

    /// Appends nodes `first` up to, not including, `end` of `level` to `into`.
    ///
    /// # Errors
    /// When they cannot be read, or are not there.
    fn read(&mut self, level: u8, first: u32, end: u32, into: &mut Vec<Node>) -> Result<(), Self::Error>;

    /// Sets node `n` of `level`, which is at least 1.
    ///
    /// # Errors
    /// When it cannot be written.
    fn write(&mut self, level: u8, n: u32, node: &Node) -> Result<(), Self::Error>;

    /// Forgets the nodes of `level`, at least 1, from `count` on.
    ///
    /// # Errors
    /// When they cannot be removed.
    fn truncate(&mut self, level: u8, count: u32) -> Result<(), Self::Error>;
}

/// Brings the nodes above the leaves up to date and returns the top node. The leaves of the new image stand in
/// `store` already; `changed` lists, ascending, the pages whose leaf differs from the old image's, those
/// beyond the old count included.
///
/// # Errors
/// What `store` fails with.
pub fn update<S: NodeStore>(
    store: &mut S,
    old: PageCount,
    new: PageCount,
    changed: impl IntoIterator<Item = PageNo>,
) -> Result<Node, S::Error> {
    let top = top_level(new);
    for level in (1..=top_level(old).max(top)).rev() {
        let kept = if level <= top { nodes(new, level) } else { 0 };
        if kept < nodes(old, level) || level > top {
            store.truncate(level, kept)?;
        }
    }
    if new.0 == 0 {
        return Ok([0; 32]);
    }
    let mut touched: Vec<u32> =
        changed.into_iter().filter(|page| new.contains(*page)).map(|page| page.get() - 1).collect();
    if new.0 < old.0 {
        // The last node of each level has lost children.
        touched.push(new.0 - 1);
    }
    let mut children = Vec::with_capacity(FAN_OUT as usize);
    for level in 1..=top {
        for n in &mut touched {
            *n /= FAN_OUT;
        }
        touched.dedup();
        let below = nodes(new, level - 1);
        for &n in &touched {
            children.clear();
            let first = n * FAN_OUT;
            store.read(level - 1, first, below.min(first.saturating_add(FAN_OUT)), &mut children)?;
            store.write(level, n, &parent(level, &children))?;
        }
    }
    children.clear();
    store.read(top, 0, 1, &mut children)?;
    Ok(children[0])
}

/// The node of `level`, at least 1, over these.
#[must_use]
pub fn parent(level: u8, children: &[Node]) -> Node {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[level]);
    hasher.update(children.as_flattened());
    *hasher.finalize().as_bytes()
}

/// A tree in memory: 32 bytes per page and a little above.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    levels: Vec<Vec<Node>>,
}

impl MemoryTree {
    /// The leaves, which the caller sets before [`update`].
    pub fn leaves_mut(&mut self) -> &mut Vec<Node> {
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        &mut self.levels[0]
    }

    fn level_mut(&mut self, level: u8) -> &mut Vec<Node> {
        let level = usize::from(level);
        if level >= self.levels.len() {
            self.levels.resize(level + 1, Vec::new());
        }
        &mut self.levels[level]
    }
}

impl NodeStore for MemoryTree {
    type Error = Infallible;

    fn read(&mut self, level: u8, first: u32, end: u32, into: &mut Vec<Node>) -> Result<(), Infallible> {
        into.extend_from_slice(&self.level_mut(level)[first as usize..end as usize]);
        Ok(())
    }

    fn write(&mut self, level: u8, n: u32, node: &Node) -> Result<(), Infallible> {
        let nodes = self.level_mut(level);
        let n = n as usize;
        if n >= nodes.len() {
            nodes.resize(n + 1, [0; 32]);
        }
        nodes[n] = *node;
        Ok(())
    }

    fn truncate(&mut self, level: u8, count: u32) -> Result<(), Infallible> {
        self.level_mut(level).truncate(count as usize);
        Ok(())
    }
}

/// Computes a root from leaves that come in order, keeping at most 64 nodes per level.
#[derive(Debug, Default)]
pub struct RootBuilder {
    levels: Vec<Vec<Node>>,
    count: u32,
}

impl RootBuilder {
    /// Takes the leaf of the next page.
    pub fn push(&mut self, leaf: &Leaf) {
        self.count += 1;
        self.add(0, leaf.0);
    }

    /// The root of the pages taken.
    #[must_use]
    pub fn finish(mut self, page_size: PageSize) -> Root {
        let count = PageCount(self.count);
        if count.0 == 0 {
            return empty_root();
        }
        let top = usize::from(top_level(count));
        for level in 0..top {
            if let Some(children) =
                self.levels.get_mut(level).filter(|nodes| !nodes.is_empty()).map(std::mem::take)
            {
                self.add(level + 1, parent(level_byte(level + 1), &children));
            }
        }
        root(Some(page_size), count, &self.levels[top][0])
    }

    fn add(&mut self, level: usize, node: Node) {
        if self.levels.len() <= level {
            self.levels.push(Vec::with_capacity(FAN_OUT as usize));
        }
        // A full level is folded only when a further node comes: a level of one node is the top.
        if self.levels[level].len() == FAN_OUT as usize {
            let children = std::mem::take(&mut self.levels[level]);
            self.add(level + 1, parent(level_byte(level + 1), &children));
        }
        self.levels[level].push(node);
    }
}

fn level_byte(level: usize) -> u8 {
    u8::try_from(level).expect("BUG: a tree over 32-bit page numbers has at most 7 levels")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The images of golden example 8.
    fn golden_leaves(count: u32) -> Vec<Leaf> {
        let mut room = Vec::new();
        PageCount(count)
            .pages()
            .map(|page| {
                let mut data = vec![0; 512];
                if page == PageNo::FIRST {
                    data[..16].copy_from_slice(b"SQLite format 3\0");
                    data[16] = 2;
                } else {
                    for (i, byte) in data.iter_mut().enumerate() {
                        *byte = u8::try_from((7 * i + 13 * page.get() as usize) % 251).unwrap();
                    }
                }
                leaf_of(page, PageCount(count), &data, &mut room)
            })
            .collect()
    }

    fn built(leaves: &[Leaf], size: PageSize) -> Root {
        let mut builder = RootBuilder::default();
        leaves.iter().for_each(|leaf| builder.push(leaf));
        builder.finish(size)
    }

    fn updated(tree: &mut MemoryTree, old: u32, new: u32, changed: &[u32]) -> Node {
        let changed = changed.iter().filter_map(|&page| PageNo::new(page));
        let Ok(top) = update(tree, PageCount(old), PageCount(new), changed);
        top
    }

    #[test]
    fn golden_8_roots() {
        let size = PageSize::new(512).unwrap();
        let golden = [
            (0, "430ad47df199958e74f219f2fd05a11d2fe761bf206de0e91ce9f0c986d33d7f"),
            (1, "8de57a19bcbe3c88e8a50c568e83f0924020d26ecd3239dc737cc33e4f27cbfd"),
            (2, "07be0dda9268368022f7367cef601f6b8d37e5fe7822803b810b60e223e329ae"),
            (65, "9ccd4278501da1a12e0fd6a9f8de5b53bc6f325a1022ff52269fd250e1ffd2e9"),
        ];
        for (count, hex) in golden {
            let leaves = golden_leaves(count);
            assert_eq!(built(&leaves, size).to_string(), hex, "{count} pages, built");
            let mut tree = MemoryTree::default();
            tree.leaves_mut().extend(leaves.iter().map(|leaf| leaf.0));
            let all: Vec<u32> = (1..=count).collect();
            let top = updated(&mut tree, 0, count, &all);
            let page_size = (count > 0).then_some(size);
            assert_eq!(root(page_size, PageCount(count), &top).to_string(), hex, "{count} pages, updated");
        }
    }

    #[test]
    fn the_lock_page_has_a_leaf_of_zeros() {
        let size = PageSize::new(65536).unwrap();
        let leaf = leaf_of(size.lock_page(), PageCount(20_000), &[7; 65536], &mut Vec::new());
        assert_eq!(leaf, Leaf::LOCK_PAGE);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn updating_the_changed_paths_gives_the_root_of_a_fresh_tree(
            steps in prop::collection::vec((0..9_000_u32, prop::collection::vec((1..9_000_u32, any::<u8>()), 0..8)), 1..6)
        ) {
            let size = PageSize::DEFAULT;
            let (mut tree, mut old) = (MemoryTree::default(), 0);
            for (new, edits) in steps {
                let leaves = tree.leaves_mut();
                leaves.resize(new as usize, [9; 32]);
                let mut changed: Vec<u32> = (old + 1..=new).collect();
                for (page, value) in edits.into_iter().filter(|(page, _)| *page <= new) {
                    leaves[page as usize - 1] = [value; 32];
                    changed.push(page);
                }
                changed.sort_unstable();
                changed.dedup();
                let leaves: Vec<Leaf> = leaves.iter().map(|node| Leaf(*node)).collect();
                let top = updated(&mut tree, old, new, &changed);
                let page_size = (new > 0).then_some(size);
                prop_assert_eq!(root(page_size, PageCount(new), &top), built(&leaves, size));
                old = new;
            }
        }
    }
}
