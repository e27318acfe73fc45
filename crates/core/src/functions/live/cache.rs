//! Results that are kept until what they depend on changes (FUN-33). A table that a result depends on as a whole is looked at
//! when the result is asked for; a commit takes out those that depend on a row that it changed (FUN-34).

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ferry_types::Seq;

use super::{
    QueryKey, Reads, TableChanges,
    keys::{RowsRead, TableRead, TableWrite},
    readers::ReaderIndex,
};

/// A result that is kept.
#[derive(Clone, Debug)]
pub struct CachedResult {
    /// JSON; `None`: `undefined`.
    pub data: Option<Arc<str>>,
    /// Its hash.
    pub hash: Arc<str>,
    /// What it depends on.
    pub reads: Reads,
    /// The commit that it shows.
    pub seq: Seq,
    /// What its caller is warned of.
    pub warnings: Arc<[String]>,
}

/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = 256;
/// ColumnKeys that may lie in the order beside twice those that there are.
const ORDER_SLACK: usize = 16;

impl CachedResult {
    fn bytes(&self, key: &QueryKey) -> usize {
        self.data.as_ref().map_or(0, |data| data.len()) + key.args.len() + ENTRY_BYTES
    }
}

struct Entry {
    number: u64,
    result: CachedResult,
}

/// The results of one database. All databases of a hub share one budget.
pub struct ResultCache {
    entries: HashMap<QueryKey, Entry>,
    /// ColumnKeys as they were put, oldest first; one whose number is not that of its entry was put again or is gone.
    order: VecDeque<(u64, QueryKey)>,
    /// Those that depend on some rows of a table, by number.
    readers: ReaderIndex<u64>,
    of_rows: HashMap<u64, QueryKey>,
    next: u64,
    bytes: usize,
    used_bytes: Arc<AtomicUsize>,
    max_bytes: usize,
}

impl ResultCache {
    /// An empty one; `used_bytes` counts those of all.
    #[must_use]
    pub fn new(used_bytes: Arc<AtomicUsize>, max_bytes: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            readers: ReaderIndex::default(),
            of_rows: HashMap::new(),
            next: 0,
            bytes: 0,
            used_bytes,
            max_bytes,
        }
    }

    /// The result of `key`, if nothing that it depends on has changed since. It is then also that of the newest commit.
    pub fn get(&mut self, key: &QueryKey, changes: &TableChanges) -> Option<CachedResult> {
        let found = &self.entries.get(key)?.result;
        let is_old = |read: &TableRead| {
            changes.is_all_changed_after(found.seq)
                || read.rows == RowsRead::All && changes.table_changed_after(&read.table, found.seq)
        };
        if found.reads.iter().any(is_old) {
            self.remove(key);
            return None;
        }
        Some(found.clone())
    }

    /// A commit changed these rows.
    pub fn committed(&mut self, writes: &[TableWrite]) {
        for write in writes {
            for number in self.readers.affected(write) {
                if let Some(key) = self.of_rows.get(&number).cloned() {
                    self.remove(&key);
                }
            }
        }
    }

    /// Keeps a result, unless it is old already.
    pub fn put(&mut self, key: QueryKey, result: CachedResult, changes: &TableChanges) {
        self.remove(&key);
        let bytes = result.bytes(&key);
        if bytes > self.max_bytes / 8 || changes.affected_after(&result.reads, result.seq) {
            return;
        }
        self.bytes += bytes;
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.next += 1;
        self.order.push_back((self.next, key.clone()));
        if result.reads.iter().any(|read| read.rows != RowsRead::All) {
            self.readers.insert(self.next, &result.reads);
            self.of_rows.insert(self.next, key.clone());
        }
        self.entries.insert(key, Entry { number: self.next, result });
        while self.used_bytes.load(Ordering::Relaxed) > self.max_bytes {
            let Some((number, oldest)) = self.order.pop_front() else { break };
            if self.entries.get(&oldest).is_some_and(|entry| entry.number == number) {
                self.remove(&oldest);
            }
        }
        if self.order.len() > 2 * self.entries.len() + ORDER_SLACK {
            let entries = &self.entries;
            self.order.retain(|(number, key)| entries.get(key).is_some_and(|entry| entry.number == *number));
        }
    }

    fn remove(&mut self, key: &QueryKey) {
        if let Some(old) = self.entries.remove(key) {
            if self.of_rows.remove(&old.number).is_some() {
                self.readers.remove(old.number, &old.result.reads);
            }
            let bytes = old.result.bytes(key);
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
        self.readers = ReaderIndex::default();
        self.of_rows.clear();
    }
}

impl Drop for ResultCache {
    fn drop(&mut self) {
        self.clear();
    }
}
