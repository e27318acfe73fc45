//! Results that are kept until a table that they depend on changes (FUN-33).

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ferry_types::Seq;

use super::{QueryKey, TableChanges, Tables};

/// A result that is kept.
#[derive(Clone, Debug)]
pub struct CachedResult {
    /// JSON; `None`: `undefined`.
    pub data: Option<Arc<str>>,
    /// Its hash.
    pub hash: Arc<str>,
    /// What it depends on.
    pub tables: Tables,
    /// The commit that it shows.
    pub seq: Seq,
    /// What its caller is warned of.
    pub warnings: Arc<[String]>,
}

/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = 256;

impl CachedResult {
    fn bytes(&self, key: &QueryKey) -> usize {
        self.data.as_ref().map_or(0, |data| data.len()) + key.args.len() + ENTRY_BYTES
    }
}

/// The results of one database. All databases of a hub share one budget.
pub struct ResultCache {
    entries: HashMap<QueryKey, CachedResult>,
    order: VecDeque<QueryKey>,
    bytes: usize,
    used_bytes: Arc<AtomicUsize>,
    max_bytes: usize,
}

impl ResultCache {
    /// An empty one; `used_bytes` counts those of all.
    #[must_use]
    pub fn new(used_bytes: Arc<AtomicUsize>, max_bytes: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), bytes: 0, used_bytes, max_bytes }
    }

    /// The result of `key`, if nothing that it depends on has changed since. It is then also that of the newest commit.
    pub fn get(&mut self, key: &QueryKey, changes: &TableChanges) -> Option<CachedResult> {
        let found = self.entries.get(key)?;
        if changes.changed_after(&found.tables, found.seq) {
            self.remove(key);
            return None;
        }
        Some(found.clone())
    }

    /// Keeps a result.
    pub fn put(&mut self, key: QueryKey, result: CachedResult) {
        self.remove(&key);
        let bytes = result.bytes(&key);
        if bytes > self.max_bytes / 8 {
            return;
        }
        self.bytes += bytes;
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.order.push_back(key.clone());
        self.entries.insert(key, result);
        // Keys of results that are gone already lie in the order, too.
        while self.used_bytes.load(Ordering::Relaxed) > self.max_bytes
            || self.order.len() > 2 * self.entries.len() + 16
        {
            let Some(oldest) = self.order.pop_front() else { break };
            if self.used_bytes.load(Ordering::Relaxed) > self.max_bytes {
                self.remove(&oldest);
            } else if self.entries.contains_key(&oldest) {
                self.order.push_back(oldest);
            }
        }
    }

    fn remove(&mut self, key: &QueryKey) {
        if let Some(old) = self.entries.remove(key) {
            let bytes = old.bytes(key);
            self.bytes -= bytes;
            self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Forgets all: a deployment, a secret that changed.
    pub fn clear(&mut self) {
        self.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
        self.entries.clear();
        self.order.clear();
    }
}

impl Drop for ResultCache {
    fn drop(&mut self) {
        self.clear();
    }
}
