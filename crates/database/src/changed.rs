//! Which databases were written since a log was last shipped, and since when (OPR-05).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ferry_types::{DatabaseId, UnixMillis};

/// Databases with commits that nobody has taken. What it costs is one entry for each.
#[derive(Debug, Default)]
pub struct ChangedDatabases(Mutex<HashMap<DatabaseId, UnixMillis>>);

impl ChangedDatabases {
    /// A database was written at `now`.
    pub fn note(&self, id: DatabaseId, now: UnixMillis) {
        let mut changed = self.lock();
        let since = changed.entry(id).or_insert(now);
        *since = (*since).min(now);
    }

    /// All of them with the moment of the first commit that nobody has taken; they are taken now.
    #[must_use]
    pub fn take(&self) -> HashMap<DatabaseId, UnixMillis> {
        std::mem::take(&mut self.lock())
    }

    /// The oldest of those moments.
    #[must_use]
    pub fn oldest(&self) -> Option<UnixMillis> {
        self.lock().values().min().copied()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DatabaseId, UnixMillis>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_commit_that_nobody_took_counts() {
        let changed = ChangedDatabases::default();
        let id = |n: u8| format!("db_019ac3d5-0000-7000-8000-{n:012x}").parse::<DatabaseId>().unwrap();
        changed.note(id(1), UnixMillis(20));
        changed.note(id(1), UnixMillis(30));
        changed.note(id(2), UnixMillis(25));
        assert_eq!(changed.oldest(), Some(UnixMillis(20)));
        let taken = changed.take();
        assert_eq!((taken[&id(1)], taken[&id(2)], taken.len()), (UnixMillis(20), UnixMillis(25), 2));
        assert_eq!(changed.oldest(), None);
        // What could not be shipped is put back with its own moment.
        changed.note(id(1), UnixMillis(40));
        changed.note(id(1), taken[&id(1)]);
        assert_eq!(changed.oldest(), Some(UnixMillis(20)));
    }
}
