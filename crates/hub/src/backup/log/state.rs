//! How far the log is: what is gathered, what waits for which target, and which of them lost a part of it.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_backup::SpooledInterval;
use ferry_core::backup::{
    log::{IntervalTimes, LogStart, RunId},
    manifest::SnapshotDatabase,
};
use ferry_database::ChangedDatabases;
use ferry_types::{DatabaseId, Root, Tag, UnixMillis};
use tokio::sync::Notify;

use crate::config::LogConfig;

/// A database that could not be read is tried again so much later.
const ASIDE_MS: i64 = 10_000;

/// The log of a running hub.
pub(in crate::backup) struct HubLog {
    pub(super) run: RunId,
    pub(super) settings: LogConfig,
    /// Where intervals wait.
    pub(super) spool: PathBuf,
    pub(super) changed: Arc<ChangedDatabases>,
    state: Mutex<LogState>,
    /// Something waits for a target, or may go there.
    pub(super) wake: Notify,
}

struct LogState {
    /// The interval that is gathered, or comes next.
    next: u64,
    /// By which version each database was last shipped; `None` until a snapshot tells them all.
    shipped: Option<HashMap<DatabaseId, Tag>>,
    /// A snapshot began since control.db was last gathered as a whole: it may show what never was at the end of an interval.
    control_whole: bool,
    /// The end of the last interval.
    last_to_ms: i64,
    /// The oldest commit of what is being gathered.
    gathering: Option<UnixMillis>,
    /// Since when control.db is another one than was gathered.
    control_since: Option<UnixMillis>,
    /// Databases that could not be read: their oldest commit, and when it is tried again.
    aside: HashMap<DatabaseId, (UnixMillis, UnixMillis)>,
    targets: Vec<TargetLog>,
}

/// The log as far as one target is concerned.
#[derive(Default)]
struct TargetLog {
    /// What the target is called, if all that was gathered since a snapshot there is on it or waits for it.
    following: Option<String>,
    /// A snapshot of it is being taken, from which it will follow.
    is_basing: bool,
    queue: VecDeque<Waiting>,
    /// The oldest commit of what it will never get.
    lost: Option<UnixMillis>,
    /// Why the last try failed.
    error: Option<String>,
}

struct Waiting {
    interval: Arc<SpooledInterval>,
    oldest: UnixMillis,
}

/// How far a target is behind.
#[derive(Clone, Debug)]
pub(in crate::backup) struct LagState {
    /// The age of the oldest commit that it lacks, in milliseconds.
    pub(in crate::backup) lag_ms: u64,
    /// Whether it lacks a part of the log, until there is a new snapshot.
    pub(in crate::backup) has_gap: bool,
    /// Bytes that wait for it.
    pub(in crate::backup) spool_bytes: u64,
    pub(in crate::backup) error: Option<String>,
}

/// An interval that is gathered.
pub(super) struct BegunInterval {
    pub(super) number: u64,
    pub(super) from_ms: i64,
    /// Whether control.db is gathered as a whole.
    pub(super) control_whole: bool,
    /// Databases that were written, and since when.
    pub(super) changed: HashMap<DatabaseId, UnixMillis>,
    control_since: Option<UnixMillis>,
}

impl HubLog {
    pub(in crate::backup) fn new(
        settings: LogConfig,
        run: RunId,
        spool: PathBuf,
        targets: usize,
        changed: Arc<ChangedDatabases>,
    ) -> Self {
        let targets = std::iter::repeat_with(TargetLog::default).take(targets).collect();
        let state = LogState {
            next: 1,
            shipped: None,
            control_whole: true,
            last_to_ms: 0,
            gathering: None,
            control_since: None,
            aside: HashMap::new(),
            targets,
        };
        Self { run, settings, spool, changed, state: Mutex::new(state), wake: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A snapshot of the hub begins on a target. Returns where the log goes on behind it: with an interval that may be gathered
    /// already, so that nothing lies between the two.
    pub(in crate::backup) fn base_begins(&self, target: usize) -> LogStart {
        let mut state = self.lock();
        state.control_whole = true;
        state.targets[target].is_basing = true;
        LogStart { run: self.run, interval: state.next }
    }

    /// It is there, with these databases. A target that followed goes on; another one follows from now on.
    pub(in crate::backup) fn base_made(
        &self,
        target: usize,
        target_id: &str,
        databases: impl Iterator<Item = (SnapshotDatabase, u64, Root)>,
    ) {
        let mut state = self.lock();
        let state = &mut *state;
        let known = &mut state.targets[target];
        if !std::mem::take(&mut known.is_basing) && known.following.is_none() {
            // What was gathered meanwhile was too much: another one is needed.
            return;
        }
        known.following = Some(target_id.to_owned());
        known.lost = None;
        state.shipped.get_or_insert_with(|| {
            let tag = |(id, seq, root)| match id {
                SnapshotDatabase::Main(id) => Some((id, Tag::new(seq, &root))),
                SnapshotDatabase::Control => None,
            };
            databases.filter_map(tag).collect()
        });
        self.wake.notify_waiters();
    }

    /// It failed.
    pub(in crate::backup) fn base_failed(&self, target: usize) {
        let known = &mut self.lock().targets[target];
        known.is_basing = false;
        if known.following.is_none() {
            known.lose();
        }
    }

    /// The targets that need a snapshot before anything can be shipped there.
    pub(in crate::backup) fn lacking_bases(&self) -> Vec<usize> {
        let state = self.lock();
        let lacking = |(index, target): (usize, &TargetLog)| {
            (target.following.is_none() && !target.is_basing).then_some(index)
        };
        state.targets.iter().enumerate().filter_map(lacking).collect()
    }

    /// control.db is another one than was gathered.
    pub(super) fn control_changed(&self, now: UnixMillis) {
        self.lock().control_since.get_or_insert(now);
    }

    /// Begins an interval, if one is due and somebody will get it.
    pub(super) fn begin(&self, now: UnixMillis) -> Option<BegunInterval> {
        let mut state = self.lock();
        let is_wanted = state.targets.iter().any(|target| target.following.is_some() || target.is_basing);
        if !is_wanted || state.shipped.is_none() {
            return None;
        }
        let back: Vec<_> =
            state.aside.iter().filter(|(_, (_, again))| *again <= now).map(|(id, _)| *id).collect();
        for id in back {
            if let Some((since, _)) = state.aside.remove(&id) {
                self.changed.note(id, since);
            }
        }
        let oldest = self.changed.oldest().into_iter().chain(state.control_since).min()?;
        // Half of the lag is left for reading and shipping.
        if now.0.saturating_sub(oldest.0) < self.settings.lag_ms() / 2 {
            return None;
        }
        state.gathering = Some(oldest);
        Some(BegunInterval {
            number: state.next,
            from_ms: now.0.max(state.last_to_ms),
            control_whole: std::mem::take(&mut state.control_whole),
            changed: self.changed.take(),
            control_since: state.control_since.take(),
        })
    }

    /// By which version a database was last shipped.
    pub(super) fn shipped(&self, id: DatabaseId) -> Option<Tag> {
        self.lock().shipped.as_ref()?.get(&id).copied()
    }

    /// An end that is not before any other.
    pub(super) fn times(&self, begun: &BegunInterval, now: UnixMillis) -> IntervalTimes {
        IntervalTimes { from_ms: begun.from_ms, to_ms: now.0.max(begun.from_ms) }
    }

    /// An interval is gathered, with these versions; `None`: nothing had changed.
    pub(super) fn gathered(
        &self,
        begun: &BegunInterval,
        interval: Option<SpooledInterval>,
        versions: Vec<(DatabaseId, Tag)>,
        had_control: bool,
    ) {
        let mut state = self.lock();
        let state = &mut *state;
        let oldest = state.gathering.take().unwrap_or(UnixMillis(begun.from_ms));
        state.control_whole |= begun.control_whole && !had_control;
        let Some(interval) = interval else { return };
        state.next = begun.number + 1;
        state.last_to_ms = interval.interval.times.to_ms;
        if let Some(shipped) = &mut state.shipped {
            shipped.extend(versions);
        }
        let interval = Arc::new(interval);
        for target in &mut state.targets {
            if target.following.is_some() || target.is_basing {
                target.queue.push_back(Waiting { interval: Arc::clone(&interval), oldest });
            }
        }
        state.bound(self.settings.spool_bytes);
        self.wake.notify_waiters();
    }

    /// It was not gathered: all of it is for the next one.
    pub(super) fn not_gathered(&self, begun: BegunInterval) {
        let mut state = self.lock();
        state.gathering = None;
        state.control_whole |= begun.control_whole;
        if let Some(since) = begun.control_since {
            let known = state.control_since.get_or_insert(since);
            *known = (*known).min(since);
        }
        begun.changed.into_iter().for_each(|(id, since)| self.changed.note(id, since));
    }

    /// There is no room for it: every target loses it.
    pub(super) fn overflowed(&self) {
        let mut state = self.lock();
        let oldest = self.changed.oldest();
        state.gathering = None;
        // A number that no interval has: nobody takes what comes for what follows.
        state.next += 1;
        for target in &mut state.targets {
            target.lose();
            target.lost = target.lost.into_iter().chain(oldest).min();
        }
        state.shipped = None;
    }

    /// A database could not be read: others go on without it for a while.
    pub(super) fn set_aside(&self, id: DatabaseId, since: UnixMillis, now: UnixMillis) {
        self.lock().aside.insert(id, (since, UnixMillis(now.0.saturating_add(ASIDE_MS))));
    }

    /// What a target gets next, and what the target is called.
    pub(super) fn next_for(&self, target: usize) -> Option<(Arc<SpooledInterval>, String)> {
        let state = self.lock();
        let target = &state.targets[target];
        let next = target.queue.front()?;
        Some((Arc::clone(&next.interval), target.following.clone()?))
    }

    /// A target has it.
    pub(super) fn shipped_to(&self, target: usize, interval: &SpooledInterval) {
        let target = &mut self.lock().targets[target];
        target.error = None;
        let is_first = target.queue.front().is_some_and(|first| first.interval.interval == interval.interval);
        if is_first {
            target.queue.pop_front();
        }
    }

    pub(super) fn ship_failed(&self, target: usize, error: String) {
        self.lock().targets[target].error = Some(error);
    }

    /// How far a target is behind.
    pub(in crate::backup) fn lag(&self, target: usize, now: UnixMillis) -> LagState {
        let state = self.lock();
        let known = &state.targets[target];
        let oldest =
            [known.lost, known.queue.front().map(|first| first.oldest), state.gathering, state.control_since];
        let aside = state.aside.values().map(|(since, _)| *since);
        let oldest = oldest.into_iter().flatten().chain(aside).chain(self.changed.oldest()).min();
        LagState {
            lag_ms: oldest.map_or(0, |oldest| u64::try_from(now.0.saturating_sub(oldest.0)).unwrap_or(0)),
            has_gap: known.lost.is_some(),
            spool_bytes: known.queue.iter().map(|waiting| waiting.interval.bytes()).sum(),
            error: known.error.clone(),
        }
    }
}

impl TargetLog {
    /// What waits goes, and nothing is shipped until there is a new snapshot.
    fn lose(&mut self) {
        let oldest = self.queue.iter().map(|waiting| waiting.oldest);
        self.lost = self.lost.into_iter().chain(oldest).min();
        self.queue.clear();
        self.following = None;
        self.is_basing = false;
    }
}

impl LogState {
    /// Lets those lose what waits that are furthest behind, until all of it fits (OPR-07).
    fn bound(&mut self, most: u64) {
        loop {
            let waiting: HashMap<u64, u64> = (self.targets.iter().flat_map(|target| &target.queue))
                .map(|waiting| (waiting.interval.interval.number, waiting.interval.bytes()))
                .collect();
            if waiting.values().sum::<u64>() <= most {
                break;
            }
            let oldest = waiting.keys().min().copied();
            for target in &mut self.targets {
                if target.queue.front().map(|first| first.interval.interval.number) == oldest {
                    target.lose();
                    tracing::error!(
                        "a backup target did not take the log for so long that backup.spool_mib is full: what waited for it is \
                         dropped, and a new snapshot closes the gap"
                    );
                }
            }
        }
        if self.targets.iter().all(|target| target.following.is_none() && !target.is_basing) {
            self.shipped = None;
        }
    }
}
