//! Nodes of the tree over an image, for a reader that looks for what differs from a copy of unknown history (PAG-27).

use std::collections::VecDeque;

use ferry_core::pages::{
    PageSet,
    tree::{self, FAN_OUT, Node},
};
use ferry_types::{Leaf, PageCount, PageNo};
use rusqlite::Connection;

use super::{VersionInfo, index};
use crate::{Error, Result};

/// Below a node of this level, all leaves are read at once: 4,096.
const READ_WHOLE_LEVEL: u8 = 2;

/// Appends the leaves of pages from the first up to, not including, the second.
pub(super) type ReadLeaves<'l> = dyn FnMut(PageNo, u32, &mut VecDeque<Leaf>) -> Result<()> + 'l;

/// Nodes as they follow from the leaves alone.
pub(super) fn of_leaves(
    leaves: &mut ReadLeaves<'_>,
    count: PageCount,
    level: u8,
    nodes: std::ops::Range<u32>,
    into: &mut Vec<Node>,
) -> Result<()> {
    for n in nodes {
        into.push(computed(leaves, count, level, n)?);
    }
    Ok(())
}

/// A node made of its leaves.
fn computed(leaves: &mut ReadLeaves<'_>, count: PageCount, level: u8, n: u32) -> Result<Node> {
    if level > READ_WHOLE_LEVEL {
        let children = children(count, level, n).map(|child| computed(leaves, count, level - 1, child));
        return Ok(tree::parent(level, &children.collect::<Result<Vec<_>>>()?));
    }
    let (first, last) = pages_below(count, level, n);
    let mut found = VecDeque::new();
    leaves(first, last.saturating_add(1), &mut found)?;
    let mut nodes: Vec<Node> = found.into_iter().map(|leaf| leaf.0).collect();
    for level in 1..=level {
        nodes = nodes.chunks(FAN_OUT as usize).map(|children| tree::parent(level, children)).collect();
    }
    nodes.first().copied().ok_or_else(|| Error::Damaged(format!("node {n} of level {level} has no pages")))
}

/// Numbers of a node's children, which are of the level below.
fn children(count: PageCount, level: u8, n: u32) -> std::ops::Range<u32> {
    let first = n * FAN_OUT;
    first..tree::nodes(count, level - 1).min(first.saturating_add(FAN_OUT))
}

/// The first page below a node, and the number of the last.
fn pages_below(count: PageCount, level: u8, n: u32) -> (PageNo, u32) {
    let width = u64::from(FAN_OUT).pow(u32::from(level));
    let first = u64::from(n) * width + 1;
    let last = (first + width - 1).min(u64::from(count.0));
    let number = |page| u32::try_from(page).unwrap_or(u32::MAX);
    (PageNo::new(number(first)).expect("BUG: pages count from 1"), number(last))
}

/// Nodes of a version, mostly from the index.
pub(super) fn of_version(
    index: &Connection,
    info: &VersionInfo,
    leaves: &mut ReadLeaves<'_>,
    level: u8,
    nodes: std::ops::Range<u32>,
    into: &mut Vec<Node>,
) -> Result<()> {
    // One moment of the index, whatever is committed meanwhile.
    let _snapshot = index.unchecked_transaction()?;
    let newest = index::newest(index)?.map(|row| row.info);
    let newest = newest.ok_or_else(|| Error::Damaged("the index has no version".into()))?;
    if newest.version == info.version {
        return index::read_nodes(index, level, nodes.start, nodes.end, into);
    }
    let mut versioned = Versioned {
        index,
        count: info.page_count,
        leaves,
        changed: index::changed_between(index, info.version, u64::MAX)?,
        common: newest.page_count.0.min(info.page_count.0),
    };
    for n in nodes {
        into.push(versioned.node(level, n)?);
    }
    Ok(())
}

/// Nodes of a version that is older than the one that the index has a tree of.
struct Versioned<'v, 'l> {
    index: &'v Connection,
    count: PageCount,
    leaves: &'v mut ReadLeaves<'l>,
    /// Pages that may be others by now.
    changed: PageSet,
    /// Pages that both versions have.
    common: u32,
}

impl Versioned<'_, '_> {
    fn node(&mut self, level: u8, n: u32) -> Result<Node> {
        let (first, last) = pages_below(self.count, level, n);
        let is_full = u64::from(last - first.get()) + 1 == u64::from(FAN_OUT).pow(u32::from(level));
        let is_changed = self.changed.next_from(first).is_some_and(|page| page.get() <= last);
        if last <= self.common && is_full && !is_changed {
            let mut found = Vec::with_capacity(1);
            index::read_nodes(self.index, level, n, n + 1, &mut found)?;
            return Ok(found[0]);
        }
        if level <= 1 {
            return computed(self.leaves, self.count, level, n);
        }
        let children = children(self.count, level, n).map(|child| self.node(level - 1, child));
        Ok(tree::parent(level, &children.collect::<Result<Vec<_>>>()?))
    }
}
