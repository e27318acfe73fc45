//! Groups of targets that share a prefix.

use ferry_types::{PageNo, PageSize};

/// Targets of a group, together, and the pages of its prefix. Larger ones make zstd at level 3 lose its matches.
const TARGETS_MAX_BYTES: usize = 512 << 10;
const PREFIX_MAX_BYTES: usize = 768 << 10;

/// A target and the pages of the base that it resembles, best first.
#[derive(Debug)]
pub(super) struct Resembling {
    pub(super) target: PageNo,
    pub(super) references: Vec<PageNo>,
}

/// What becomes one DATA entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) targets: Vec<PageNo>,
    /// Ascending.
    pub(super) prefix: Vec<PageNo>,
}

/// Puts targets together that resemble the same or neighbouring pages.
pub(super) fn groups(mut pages: Vec<Resembling>, size: PageSize) -> Vec<Group> {
    let targets_max = (TARGETS_MAX_BYTES / size.bytes()).max(1);
    let prefix_max = PREFIX_MAX_BYTES / size.bytes();
    pages.sort_by_key(|page| (page.references.first().copied().unwrap_or(page.target), page.target));
    let (mut groups, mut group) = (Vec::new(), Group::default());
    for page in pages {
        let is_new = |reference: &&PageNo| !group.prefix.contains(reference);
        let added = page.references.iter().filter(is_new).count();
        if group.targets.len() + 1 > targets_max || group.prefix.len() + added > prefix_max {
            groups.push(std::mem::take(&mut group));
        }
        for reference in page.references {
            if !group.prefix.contains(&reference) {
                group.prefix.push(reference);
            }
        }
        group.targets.push(page.target);
    }
    groups.push(group);
    groups.retain(|group| !group.targets.is_empty());
    for group in &mut groups {
        group.prefix.sort_unstable();
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stay_within_their_bytes_and_lose_nobody() {
        let page = |n| PageNo::new(n).unwrap();
        let pages = (1..=2000).map(|n| Resembling {
            target: page(n),
            references: vec![page(n % 700 + 1), page(n % 300 + 1), page(n)],
        });
        let groups = groups(pages.collect(), PageSize::DEFAULT);
        let mut seen: Vec<u32> = Vec::new();
        for group in &groups {
            assert!(group.targets.len() * 4096 <= TARGETS_MAX_BYTES);
            assert!(group.prefix.len() * 4096 <= PREFIX_MAX_BYTES);
            assert!(group.prefix.is_sorted());
            seen.extend(group.targets.iter().map(|page| page.get()));
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(1..=2000));
    }
}
