//! Topics by key.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// The topics of many keys that somebody holds just now; those that nobody holds are forgotten.
#[derive(Debug)]
pub struct Topics<K, T> {
    by_key: Mutex<ByKey<K, T>>,
}

#[derive(Debug)]
struct ByKey<K, T> {
    topics: HashMap<K, Weak<T>>,
    /// At how many entries the forgotten ones are taken out next.
    prune_at: usize,
}

/// At fewer entries than these nothing is taken out.
const PRUNE_MIN: usize = 64;

impl<K, T> Default for Topics<K, T> {
    fn default() -> Self {
        Self { by_key: Mutex::new(ByKey { topics: HashMap::new(), prune_at: PRUNE_MIN }) }
    }
}

impl<K: Hash + Eq, T> Topics<K, T> {
    /// The topic of `key`, if somebody holds it.
    pub fn get<Q>(&self, key: &Q) -> Option<Arc<T>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().topics.get(key).and_then(Weak::upgrade)
    }

    /// The topic of `key`, made if nobody holds it.
    pub fn get_or_make(&self, key: K, make: impl FnOnce() -> T) -> Arc<T> {
        let mut by_key = self.lock();
        if let Some(held) = by_key.topics.get(&key).and_then(Weak::upgrade) {
            return held;
        }
        if by_key.topics.len() >= by_key.prune_at {
            by_key.topics.retain(|_, topic| topic.strong_count() > 0);
            by_key.topics.shrink_to(PRUNE_MIN);
            by_key.prune_at = (2 * by_key.topics.len()).max(PRUNE_MIN);
        }
        let topic = Arc::new(make());
        by_key.topics.insert(key, Arc::downgrade(&topic));
        topic
    }

    /// Forgets the topic of `key`, if somebody holds it: that is given back, and who asks next gets another one.
    pub fn forget<Q>(&self, key: &Q) -> Option<Arc<T>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().topics.remove(key).and_then(|topic| topic.upgrade())
    }

    /// All that somebody holds.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.lock().topics.values().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, ByKey<K, T>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_nobody_holds_are_forgotten() {
        let topics = Topics::default();
        let held = topics.get_or_make("a", || 1);
        assert!(Arc::ptr_eq(&held, &topics.get_or_make("a", || 2)));
        assert!(topics.forget("a").is_some_and(|forgotten| Arc::ptr_eq(&forgotten, &held)));
        assert!(!Arc::ptr_eq(&held, &topics.get_or_make("a", || 2)));
        drop(held);
        assert!(topics.get("a").is_none());
        let names: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
        for name in &names {
            drop(topics.get_or_make(name.as_str(), || 3));
        }
        assert!(topics.lock().topics.len() <= PRUNE_MIN && topics.all().is_empty());
    }
}
