//! The last lines of each database. All of them together are bounded: where there are too many, the oldest go, whosever
//! they are.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_types::{DatabaseId, UnixMillis};
use tokio::sync::Notify;

/// Lines of one database.
const LINES_MAX: usize = 1000;
/// Bytes of them.
const BYTES_MAX: usize = 256 << 10;
/// What a kept line takes beside its text.
const LINE_OVERHEAD_BYTES: usize = 160;
/// Lines that are handed out at once.
const BATCH_MAX: usize = 100;

/// A line, JSON, and its number.
pub(in super::super) type NumberedLine = (u64, Arc<str>);

/// The lines of all databases.
pub(in super::super) struct LogRings {
    all: Mutex<AllRings>,
    bytes_max: usize,
}

#[derive(Default)]
struct AllRings {
    by_database: HashMap<DatabaseId, LogRing>,
    /// Whose the lines are, in the order in which they came.
    order: BTreeMap<u64, DatabaseId>,
    next_order: u64,
    bytes: usize,
}

struct LogRing {
    lines: VecDeque<KeptLine>,
    bytes: usize,
    /// Number of the first line that this ring ever had.
    base: u64,
    next: u64,
    news: Arc<Notify>,
}

struct KeptLine {
    n: u64,
    order: u64,
    text: Arc<str>,
}

/// What follows behind a line.
pub(super) struct FollowingLines {
    /// How many are lost before these; `None`: that is not known, since the hub did not keep track.
    pub(super) lost: Option<u64>,
    pub(super) lines: Vec<NumberedLine>,
}

/// Somebody who waits for lines of a database; its ring stays as long as this lives.
pub(super) struct LogFollower<'r> {
    rings: &'r LogRings,
    database: DatabaseId,
    pub(super) news: Arc<Notify>,
}

impl LogRings {
    /// Rings of at most so many bytes together.
    pub(in super::super) fn new(bytes_max: usize) -> Self {
        Self { all: Mutex::default(), bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, AllRings> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a line, which is made with its number.
    pub(super) fn push(&self, database: DatabaseId, now: UnixMillis, line: impl FnOnce(u64) -> Arc<str>) {
        let mut all = self.lock();
        let ring = all.by_database.entry(database).or_insert_with(|| LogRing::new(now));
        let n = ring.next;
        let text = line(n);
        ring.next += 1;
        all.add(database, n, text);
        all.trim(database, self.bytes_max);
        let news = all.by_database.get(&database).map(|ring| Arc::clone(&ring.news));
        drop(all);
        if let Some(news) = news {
            news.notify_waiters();
        }
    }

    /// Begins to wait for lines.
    pub(super) fn follow(&self, database: DatabaseId, now: UnixMillis) -> LogFollower<'_> {
        let mut all = self.lock();
        let ring = all.by_database.entry(database).or_insert_with(|| LogRing::new(now));
        LogFollower { rings: self, database, news: Arc::clone(&ring.news) }
    }
}

impl LogFollower<'_> {
    /// The lines behind number `after`; of all that are kept if that is `None`.
    pub(super) fn lines(&self, after: Option<u64>) -> FollowingLines {
        let all = self.rings.lock();
        let Some(ring) = all.by_database.get(&self.database) else {
            return FollowingLines { lost: Some(0), lines: Vec::new() };
        };
        let first = ring.lines.front().map_or(ring.next, |line| line.n);
        let (lost, from) = match after {
            None => (Some(0), first),
            // Of another life of the hub, or of a ring that had to go.
            Some(after) if after + 1 < ring.base || after >= ring.next => (None, first),
            Some(after) => (Some(first.saturating_sub(after + 1)), first.max(after + 1)),
        };
        let behind = ring.lines.iter().skip(usize::try_from(from - first).unwrap_or(usize::MAX));
        let lines = behind.take(BATCH_MAX).map(|line| (line.n, Arc::clone(&line.text))).collect();
        FollowingLines { lost, lines }
    }

    /// The number of the newest line.
    pub(super) fn newest(&self) -> u64 {
        self.rings.lock().by_database.get(&self.database).map_or(0, |ring| ring.next - 1)
    }
}

impl Drop for LogFollower<'_> {
    fn drop(&mut self) {
        let mut all = self.rings.lock();
        let is_empty = |ring: &LogRing| ring.lines.is_empty() && Arc::strong_count(&ring.news) <= 2;
        if all.by_database.get(&self.database).is_some_and(is_empty) {
            all.by_database.remove(&self.database);
        }
    }
}

impl LogRing {
    /// Numbers rise over restarts of the hub: they begin with the time.
    fn new(now: UnixMillis) -> Self {
        let base = now.0.unsigned_abs().saturating_mul(1000).max(1);
        Self { lines: VecDeque::new(), bytes: 0, base, next: base, news: Arc::default() }
    }
}

impl AllRings {
    fn add(&mut self, database: DatabaseId, n: u64, text: Arc<str>) {
        let Some(ring) = self.by_database.get_mut(&database) else { return };
        let bytes = text.len() + LINE_OVERHEAD_BYTES;
        let order = self.next_order;
        self.next_order += 1;
        self.order.insert(order, database);
        ring.lines.push_back(KeptLine { n, order, text });
        ring.bytes += bytes;
        self.bytes += bytes;
    }

    fn trim(&mut self, database: DatabaseId, bytes_max: usize) {
        while self.by_database.get(&database).is_some_and(|ring| {
            ring.lines.len() > LINES_MAX || ring.bytes > BYTES_MAX && ring.lines.len() > 1
        }) {
            self.drop_oldest(database);
        }
        while self.bytes > bytes_max
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            self.drop_oldest(*oldest);
        }
    }

    fn drop_oldest(&mut self, database: DatabaseId) {
        let Some(ring) = self.by_database.get_mut(&database) else { return };
        if let Some(line) = ring.lines.pop_front() {
            let bytes = line.text.len() + LINE_OVERHEAD_BYTES;
            ring.bytes -= bytes;
            self.bytes -= bytes;
            self.order.remove(&line.order);
        }
        // Who follows it still needs its numbers.
        if ring.lines.is_empty() && Arc::strong_count(&ring.news) == 1 {
            self.by_database.remove(&database);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(number: u32) -> DatabaseId {
        format!("db_{number:08x}-0000-4000-8000-000000000000").parse().unwrap()
    }

    fn push(rings: &LogRings, of: u32, text: &str) {
        rings.push(database(of), UnixMillis(1), |n| format!("{n} {text}").into());
    }

    fn texts(rings: &LogRings, of: u32, after: Option<u64>) -> (Option<u64>, Vec<u64>) {
        let following = rings.follow(database(of), UnixMillis(1)).lines(after);
        (following.lost, following.lines.iter().map(|(n, _)| *n).collect())
    }

    #[test]
    fn lines_are_handed_out_behind_a_number_and_what_is_lost_is_counted() {
        let rings = LogRings::new(1 << 20);
        for _ in 0..LINES_MAX + 10 {
            push(&rings, 1, "x");
        }
        let (lost, lines) = texts(&rings, 1, None);
        assert_eq!((lost, lines[0], lines.len()), (Some(0), 1010, BATCH_MAX));
        assert_eq!(texts(&rings, 1, Some(1002)).0, Some(7));
        assert_eq!(texts(&rings, 1, Some(2008)), (Some(0), vec![2009]));
        assert_eq!(texts(&rings, 1, Some(2009)), (Some(0), vec![]));
        // Numbers of another life of the hub.
        assert_eq!(texts(&rings, 1, Some(5)).0, None);
        assert_eq!(texts(&rings, 1, Some(9_999)).0, None);
    }

    #[test]
    fn all_rings_together_are_bounded() {
        let rings = LogRings::new(100 * (LINE_OVERHEAD_BYTES + 100));
        let text = "y".repeat(90);
        for round in 0..3 {
            for of in 0..1_000 {
                push(&rings, of, &text);
                assert!(rings.lock().bytes <= 100 * (LINE_OVERHEAD_BYTES + 100), "round {round}");
            }
        }
        let all = rings.lock();
        assert!(all.by_database.len() <= 110 && all.order.len() <= 110);
        assert_eq!(all.bytes, all.by_database.values().map(|ring| ring.bytes).sum::<usize>());
        drop(all);
        // The ring of who follows stays, though its lines go.
        let follower = rings.follow(database(7), UnixMillis(1));
        push(&rings, 7, "z");
        let newest = follower.newest();
        for of in 100..300 {
            push(&rings, of, &text);
        }
        push(&rings, 7, "z");
        let following = follower.lines(Some(newest - 1));
        assert_eq!((following.lost, following.lines.len()), (Some(1), 1));
        drop(follower);
        assert!(rings.lock().by_database.len() <= 110);
    }
}
