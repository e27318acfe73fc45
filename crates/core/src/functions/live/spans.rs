//! Spans of keys, and which of them hold a key: a treap ordered by where spans begin, of which each node knows the furthest
//! end below it.

use std::{cmp::Ordering, ops::Bound};

use super::keys::ColumnKey;

/// Where a span begins; ordered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Low {
    Unbounded,
    /// And whether the key itself is left out.
    At(ColumnKey, bool),
}

/// Where a span ends; ordered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum High {
    /// And whether the key itself belongs to it.
    At(ColumnKey, bool),
    Unbounded,
}

impl Low {
    fn of(bound: &Bound<ColumnKey>) -> Self {
        match bound {
            Bound::Unbounded => Self::Unbounded,
            Bound::Included(key) => Self::At(key.clone(), false),
            Bound::Excluded(key) => Self::At(key.clone(), true),
        }
    }

    fn admits(&self, key: &ColumnKey) -> bool {
        match self {
            Self::Unbounded => true,
            Self::At(low, is_left_out) => low < key || low == key && !is_left_out,
        }
    }
}

impl High {
    fn of(bound: &Bound<ColumnKey>) -> Self {
        match bound {
            Bound::Unbounded => Self::Unbounded,
            Bound::Included(key) => Self::At(key.clone(), true),
            Bound::Excluded(key) => Self::At(key.clone(), false),
        }
    }

    fn admits(&self, key: &ColumnKey) -> bool {
        match self {
            Self::Unbounded => true,
            Self::At(high, is_within) => key < high || key == high && *is_within,
        }
    }
}

struct Node<I> {
    low: Low,
    high: High,
    reader: I,
    /// Nodes of higher priority stand above.
    priority: u64,
    /// Of this node and of those below.
    furthest: High,
    left: Tree<I>,
    right: Tree<I>,
}

type Tree<I> = Option<Box<Node<I>>>;

/// The spans of readers.
pub(super) struct Spans<I> {
    root: Tree<I>,
    inserted: u64,
}

impl<I> Default for Spans<I> {
    fn default() -> Self {
        Self { root: None, inserted: 0 }
    }
}

impl<I: Copy + Ord> Node<I> {
    fn compare(&self, low: &Low, high: &High, reader: I) -> Ordering {
        self.low.cmp(low).then_with(|| self.high.cmp(high)).then_with(|| self.reader.cmp(&reader))
    }

    fn look_again(&mut self) {
        let below = [&self.left, &self.right];
        let ends = below.into_iter().flatten().map(|node| &node.furthest);
        self.furthest = ends.fold(&self.high, |one, other| one.max(other)).clone();
    }
}

/// Those before the new node, and those behind it.
fn split<I: Copy + Ord>(tree: Tree<I>, at: &Node<I>) -> (Tree<I>, Tree<I>) {
    let Some(mut node) = tree else { return (None, None) };
    if node.compare(&at.low, &at.high, at.reader).is_lt() {
        let (before, behind) = split(node.right.take(), at);
        node.right = before;
        node.look_again();
        (Some(node), behind)
    } else {
        let (before, behind) = split(node.left.take(), at);
        node.left = behind;
        node.look_again();
        (before, Some(node))
    }
}

fn merge<I: Copy + Ord>(before: Tree<I>, behind: Tree<I>) -> Tree<I> {
    match (before, behind) {
        (tree, None) | (None, tree) => tree,
        (Some(mut one), Some(other)) if one.priority >= other.priority => {
            one.right = merge(one.right.take(), Some(other));
            one.look_again();
            Some(one)
        }
        (one, Some(mut other)) => {
            other.left = merge(one, other.left.take());
            other.look_again();
            Some(other)
        }
    }
}

fn without<I: Copy + Ord>(tree: Tree<I>, low: &Low, high: &High, reader: I) -> Tree<I> {
    let mut node = tree?;
    match node.compare(low, high, reader) {
        Ordering::Equal => return merge(node.left.take(), node.right.take()),
        Ordering::Less => node.right = without(node.right.take(), low, high, reader),
        Ordering::Greater => node.left = without(node.left.take(), low, high, reader),
    }
    node.look_again();
    Some(node)
}

fn find<I: Copy>(tree: &Tree<I>, key: &ColumnKey, found: &mut impl FnMut(I)) {
    let Some(node) = tree else { return };
    if !node.furthest.admits(key) {
        return;
    }
    find(&node.left, key, found);
    if node.low.admits(key) {
        if node.high.admits(key) {
            found(node.reader);
        }
        find(&node.right, key, found);
    }
}

fn each<I: Copy>(tree: &Tree<I>, found: &mut impl FnMut(I)) {
    if let Some(node) = tree {
        each(&node.left, found);
        found(node.reader);
        each(&node.right, found);
    }
}

impl<I: Copy + Ord> Spans<I> {
    /// The reader has this span, too.
    pub(super) fn insert(&mut self, low: &Bound<ColumnKey>, high: &Bound<ColumnKey>, reader: I) {
        self.remove(low, high, reader);
        self.inserted += 1;
        let (low, high) = (Low::of(low), High::of(high));
        let furthest = high.clone();
        // Any numbers do that do not follow the order of the spans.
        let mixed = (self.inserted ^ (self.inserted >> 30)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let priority = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let node = Node { low, high, reader, priority, furthest, left: None, right: None };
        let (before, behind) = split(self.root.take(), &node);
        self.root = merge(merge(before, Some(Box::new(node))), behind);
    }

    /// The reader has it no more.
    pub(super) fn remove(&mut self, low: &Bound<ColumnKey>, high: &Bound<ColumnKey>, reader: I) {
        self.root = without(self.root.take(), &Low::of(low), &High::of(high), reader);
    }

    /// ReaderIndex of spans that hold the key.
    pub(super) fn holding(&self, key: &ColumnKey, found: &mut impl FnMut(I)) {
        find(&self.root, key, found);
    }

    /// All readers.
    pub(super) fn each(&self, found: &mut impl FnMut(I)) {
        each(&self.root, found);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.root.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: FUN-34
    #[test]
    fn spans_that_hold_a_key_are_those_that_a_look_at_each_finds() {
        let mut state = 7_u64;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % limit
        };
        let holds = |low: &Bound<ColumnKey>, high: &Bound<ColumnKey>, key: &ColumnKey| {
            Low::of(low).admits(key) && High::of(high).admits(key)
        };
        let (mut spans, mut known) = (Spans::default(), Vec::new());
        for _ in 0..3_000 {
            let mut bound = || {
                let key = ColumnKey::Integer(i64::try_from(below(40)).expect("it is small"));
                match below(5) {
                    0 => Bound::Unbounded,
                    1 | 2 => Bound::Included(key),
                    _ => Bound::Excluded(key),
                }
            };
            let (low, high) = (bound(), bound());
            if known.len() > 100 || below(3) == 0 && !known.is_empty() {
                let place = below(known.len() as u64) as usize;
                let (low, high, reader) = known.swap_remove(place);
                spans.remove(&low, &high, reader);
            } else {
                let reader = below(30);
                spans.insert(&low, &high, reader);
                if !known.contains(&(low.clone(), high.clone(), reader)) {
                    known.push((low, high, reader));
                }
            }
            let key = ColumnKey::Integer(i64::try_from(below(40)).expect("it is small"));
            let mut found = Vec::new();
            spans.holding(&key, &mut |reader| found.push(reader));
            let mut expected: Vec<u64> = known
                .iter()
                .filter(|(low, high, _)| holds(low, high, &key))
                .map(|(.., reader)| *reader)
                .collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected);
            let mut all = 0;
            spans.each(&mut |_| all += 1);
            assert_eq!(all, known.len());
        }
        for (low, high, reader) in known {
            spans.remove(&low, &high, reader);
        }
        assert!(spans.is_empty());
    }
}
