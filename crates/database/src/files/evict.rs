//! Closing the least recently used databases while others wait to be opened, and a few ahead of that, so that most need
//! not wait.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use tokio::task::JoinSet;

use super::{Evict, OpenFiles, SHARED_DESCRIPTORS, room::Room};

/// Databases closed at once: each waits for the disk.
const AT_ONCE: usize = 8;
/// Share of what may be open that is kept free ahead of time.
const SPARE_DIVISOR: usize = 16;
const SPARE_MAX: usize = 64;
/// How long to wait for one of those in use to become idle.
const PAUSE: Duration = Duration::from_millis(5);

/// What will be free once the databases are closed that are being closed.
#[derive(Clone, Copy, Default)]
struct Closing {
    databases: usize,
    descriptors: usize,
}

impl OpenFiles {
    /// Has databases closed if somebody waits for room, or soon will.
    pub(super) fn evict_if_short(self: &Arc<Self>) {
        if self.is_short(Closing::default()) && !self.is_evicting.swap(true, Ordering::AcqRel) {
            let pool = Arc::clone(self);
            tokio::spawn(async move { pool.evict().await });
        }
    }

    /// Whether there is too little room, even after those that are being closed are.
    fn is_short(&self, closing: Closing) -> bool {
        let lacks = |room: &Room, closing: usize| {
            let spare = (room.size() / SPARE_DIVISOR).min(SPARE_MAX);
            room.free() + closing < room.waited_for() + spare
        };
        lacks(&self.databases, closing.databases) || lacks(&self.descriptors, closing.descriptors)
    }

    fn is_waited_for(&self) -> bool {
        self.databases.waited_for() + self.descriptors.waited_for() > 0
    }

    async fn evict(self: Arc<Self>) {
        let (mut tasks, mut closing) = (JoinSet::new(), Closing::default());
        loop {
            while tasks.len() < AT_ONCE && self.is_short(closing) {
                let Some((database, descriptors)) = self.least_recently_used() else { break };
                closing.databases += 1;
                closing.descriptors += descriptors;
                tasks.spawn_blocking(move || {
                    if database.close_if_idle() {
                        metrics::counter!("ferry_databases_evicted_total").increment(1);
                    }
                    descriptors
                });
            }
            match tasks.join_next().await {
                Some(Ok(descriptors)) => {
                    closing.databases -= 1;
                    closing.descriptors -= descriptors;
                    continue;
                }
                // Which one panicked is not known.
                Some(Err(_)) => {
                    closing = Closing::default();
                    while tasks.join_next().await.is_some() {}
                    continue;
                }
                None => {}
            }
            if self.is_waited_for() {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            self.is_evicting.store(false, Ordering::Release);
            // Somebody may have begun to wait before that line, and relied on this task.
            if !self.is_waited_for() || self.is_evicting.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }

    /// The least recently used of the open databases that nobody uses now, and how many descriptors closing it gives back.
    fn least_recently_used(&self) -> Option<(Arc<dyn Evict>, usize)> {
        // Each is looked at twice at most: where its last use is not the one it stands under, and then where it is.
        let looks = 2 * self.open_count();
        for _ in 0..looks {
            let (place, held) = self.by_use().pop_first()?;
            let Some(database) = held.upgrade() else { continue };
            // Closed, or closing: it goes by itself.
            let Some(open) = database.files().open_now() else { continue };
            let used = database.files().used();
            if used > place {
                self.place(&open, &held, used);
                continue;
            }
            // Behind all others, whether it is in use now or is closed now and opened again meanwhile.
            self.place(&open, &held, self.tick());
            if database.is_idle() {
                let descriptors = open.descriptors.load(Ordering::Relaxed);
                return Some((database, descriptors + SHARED_DESCRIPTORS as usize));
            }
        }
        None
    }
}
