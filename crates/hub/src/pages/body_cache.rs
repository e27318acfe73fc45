//! Bodies of pages that were made and that further readers may want: one encoding serves all followers (PAG-26).

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use ferry_types::{DatabaseId, Tag};

/// Between which versions a body leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyKey {
    pub(super) database: DatabaseId,
    /// `None`: from nothing.
    pub(super) base: Option<Tag>,
    pub(super) new: Tag,
}

/// The bodies, those used last at the end, up to a number of bytes.
pub(super) struct BodyCache {
    max_bytes: usize,
    bodies: Mutex<VecDeque<(BodyKey, Bytes)>>,
}

impl BodyCache {
    pub(super) const fn new(max_bytes: usize) -> Self {
        Self { max_bytes, bodies: Mutex::new(VecDeque::new()) }
    }

    pub(super) fn get(&self, key: &BodyKey) -> Option<Bytes> {
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let at = bodies.iter().position(|(found, _)| found == key)?;
        let found = bodies.remove(at)?;
        let body = found.1.clone();
        bodies.push_back(found);
        Some(body)
    }

    pub(super) fn keep(&self, key: BodyKey, body: Bytes) {
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.retain(|(found, _)| *found != key);
        bodies.push_back((key, body));
        let mut bytes: usize = bodies.iter().map(|(_, body)| body.len() + size_of::<BodyKey>()).sum();
        while bytes > self.max_bytes {
            let Some((_, oldest)) = bodies.pop_front() else { break };
            bytes -= oldest.len() + size_of::<BodyKey>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let key = |version| BodyKey {
            database: "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            base: None,
            new: Tag { version, root_prefix: [0; 8] },
        };
        let cache = BodyCache::new(3 * (100 + size_of::<BodyKey>()));
        for version in 1..=3 {
            cache.keep(key(version), vec![0; 100].into());
        }
        assert!(cache.get(&key(1)).is_some());
        cache.keep(key(4), vec![0; 100].into());
        let kept: Vec<u64> = (1..=4).filter(|version| cache.get(&key(*version)).is_some()).collect();
        assert_eq!(kept, [1, 3, 4]);
        cache.keep(key(5), vec![0; 1000].into());
        assert!(cache.get(&key(5)).is_none(), "larger than the whole cache");
    }
}
