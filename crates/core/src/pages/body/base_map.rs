//! Which page of the base has a given content.

use ferry_protocol::pages::body::CopyRun;
use ferry_types::{Leaf, PageCount, PageNo};

use super::source::{BodySource, LEAVES_AT_ONCE};

/// Base pages by the first bytes of their leaves: 16 bytes per page, where whole leaves would take three times as much.
pub(super) struct BaseMap(Vec<(u64, PageNo)>);

impl BaseMap {
    pub(super) fn read<S: BodySource>(source: &mut S, base: PageCount) -> Result<Self, S::Error> {
        let mut map = Vec::new();
        let (mut pages, mut leaves) = (Vec::new(), Vec::new());
        let mut all = base.pages().peekable();
        while all.peek().is_some() {
            pages.clear();
            leaves.clear();
            pages.extend(all.by_ref().take(LEAVES_AT_ONCE));
            source.base_leaves(&pages, &mut leaves)?;
            let known =
                pages.iter().zip(&leaves).filter_map(|(page, leaf)| Some((key(leaf.as_ref()?), *page)));
            map.extend(known.filter(|(key, _)| *key != 0));
        }
        map.sort_unstable();
        Ok(Self(map))
    }

    /// A page of the base with this leaf; `after` if that is one, so that neighbours stay neighbours.
    pub(super) fn find<S: BodySource>(
        &self,
        source: &mut S,
        leaf: &Leaf,
        after: Option<PageNo>,
    ) -> Result<Option<PageNo>, S::Error> {
        let key = key(leaf);
        let from = self.0.partition_point(|(other, _)| *other < key);
        let same = self.0[from..].iter().take_while(|(other, _)| *other == key);
        let Some(page) = same.map(|(_, page)| *page).min_by_key(|page| Some(*page) != after) else {
            return Ok(None);
        };
        let mut found = Vec::with_capacity(1);
        source.base_leaves(&[page], &mut found)?;
        Ok((found.first() == Some(&Some(*leaf))).then_some(page))
    }
}

fn key(leaf: &Leaf) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = leaf.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Adds a page to runs of copies.
pub(super) fn extend(runs: &mut Vec<CopyRun>, target: PageNo, source: PageNo) {
    if let Some(last) = runs.last_mut()
        && last.target.get().checked_add(last.length) == Some(target.get())
        && last.source.get().checked_add(last.length) == Some(source.get())
    {
        last.length += 1;
    } else {
        runs.push(CopyRun { target, source, length: 1 });
    }
}
