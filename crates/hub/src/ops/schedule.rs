//! When something is due in which database: one task waits for all of them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferry_types::{Clock, DatabaseId, UnixMillis, limits::OPS_RELEASE_CHECK_MS};
use tokio::sync::Notify;

/// Databases by the time at which something is due there.
#[derive(Default)]
pub(super) struct Schedule {
    due: Mutex<Due>,
    changed: Notify,
}

#[derive(Default)]
struct Due {
    by_time: BTreeSet<(UnixMillis, DatabaseId)>,
    by_database: HashMap<DatabaseId, UnixMillis>,
}

impl Schedule {
    /// Something is due in `database` at `at`; of several times the first counts.
    pub(super) fn add(&self, database: DatabaseId, at: UnixMillis) {
        let mut due = self.lock();
        match due.by_database.get(&database).copied() {
            Some(known) if known <= at => return,
            Some(known) => {
                due.by_time.remove(&(known, database));
            }
            None => {}
        }
        due.by_database.insert(database, at);
        due.by_time.insert((at, database));
        drop(due);
        self.changed.notify_one();
    }

    /// Waits for the time of the first, and takes out all that are due. The wall clock is looked at every few seconds: it
    /// may be set.
    pub(super) async fn due(&self, clock: &dyn Clock) -> Vec<DatabaseId> {
        loop {
            let now = clock.now();
            let (taken, next) = self.take(now);
            if !taken.is_empty() {
                return taken;
            }
            let changed = self.changed.notified();
            match next {
                None => changed.await,
                Some(next) => {
                    let left_ms = u64::try_from(next.0.saturating_sub(now.0)).unwrap_or(0);
                    let wait = Duration::from_millis(left_ms.clamp(1, OPS_RELEASE_CHECK_MS));
                    let _ = tokio::time::timeout(wait, changed).await;
                }
            }
        }
    }

    /// Those that are due, and the time of the next one.
    fn take(&self, now: UnixMillis) -> (Vec<DatabaseId>, Option<UnixMillis>) {
        let mut due = self.lock();
        let mut taken = Vec::new();
        while let Some((at, database)) = due.by_time.first().copied().filter(|(at, _)| *at <= now) {
            due.by_time.remove(&(at, database));
            due.by_database.remove(&database);
            taken.push(database);
        }
        (taken, due.by_time.first().map(|(at, _)| *at))
    }

    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPS-10
    #[test]
    fn the_first_time_of_a_database_counts_and_each_is_taken_once() {
        let schedule = Schedule::default();
        let ids: Vec<DatabaseId> =
            (0..3).map(|at| format!("db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d90215{at}").parse().unwrap()).collect();
        schedule.add(ids[0], UnixMillis(50));
        schedule.add(ids[1], UnixMillis(20));
        schedule.add(ids[0], UnixMillis(10));
        schedule.add(ids[1], UnixMillis(90));
        schedule.add(ids[2], UnixMillis(21));
        assert_eq!(schedule.take(UnixMillis(9)), (vec![], Some(UnixMillis(10))));
        assert_eq!(schedule.take(UnixMillis(20)), (vec![ids[0], ids[1]], Some(UnixMillis(21))));
        assert_eq!(schedule.take(UnixMillis(100)), (vec![ids[2]], None));
    }
}
