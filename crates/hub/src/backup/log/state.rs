//! How far the log is: what is gathered, what waits for which target, and which of them lost a part of it.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_backup::SpooledInterval;
use ferry_core::backup::{
    log::{IntervalTimes, LogSpan, LogStart},
    manifest::SnapshotDatabase,
    segment::IntervalDatabases,
};
use ferry_database::ChangedDatabases;
use ferry_types::{DatabaseId, Root, RunId, Tag, UnixMillis};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::LogConfig;

/// A database that could not be read is tried again so much later.
const ASIDE_MS: i64 = 10_000;
/// Intervals whose length is remembered, per target.
const LENGTHS: usize = 4_096;

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
    pub(super) end: LogEnd,
}

/// How the log ends with its hub: everybody has been answered, then the last interval is gathered and brought away.
#[derive(Default)]
pub(super) struct LogEnd {
    /// Nothing is acknowledged any more.
    pub(super) last_write: CancellationToken,
    /// All that there will be is gathered.
    pub(super) last_interval: CancellationToken,
    /// It takes too long: what is not shipped is left.
    pub(super) cut_off: CancellationToken,
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
    /// The databases of the last interval.
    last_databases: Option<IntervalDatabases>,
    /// The oldest commit of what is being gathered.
    gathering: Option<UnixMillis>,
    /// Databases that a snapshot has an older image of, since that began.
    gone_back: HashSet<DatabaseId>,
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
    /// A snapshot of it is being taken, from which it will follow: the interval that the log goes on with.
    basing: Option<u64>,
    /// Of what was brought there since it follows: the first interval, and the one that comes next.
    shipped: Option<(u64, u64)>,
    /// How long the newest of these are, in bytes: older ones are merged by and by.
    lengths: BTreeMap<u64, u64>,
    queue: VecDeque<Waiting>,
    /// The oldest commit of what it will never get.
    lost: Option<UnixMillis>,
    /// Why the last try failed.
    error: Option<String>,
    /// Nothing is brought there for now.
    is_held_back: bool,
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
    /// The databases of the interval before it.
    pub(super) before: Option<IntervalDatabases>,
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
            last_databases: None,
            gathering: None,
            gone_back: HashSet::new(),
            control_since: None,
            aside: HashMap::new(),
            targets,
        };
        Self {
            run,
            settings,
            spool,
            changed,
            state: Mutex::new(state),
            wake: Notify::new(),
            end: LogEnd::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A snapshot of the hub begins on a target. Returns where the log goes on behind it: with an interval that may be gathered
    /// already, so that nothing lies between the two. And what of it is there already.
    pub(in crate::backup) fn base_begins(&self, target: usize) -> (LogStart, Option<LogSpan>) {
        let mut state = self.lock();
        state.control_whole = true;
        let next = state.next;
        state.targets[target].basing = Some(next);
        (LogStart { run: self.run, interval: next }, state.targets[target].span(self.run))
    }

    /// It is there, with these databases, and shows this moment: what comes is not before it. A target that followed goes on; another one follows from now on.
    pub(in crate::backup) fn base_made(
        &self,
        target: usize,
        (target_id, moment_ms): (&str, i64),
        databases: impl Iterator<Item = (SnapshotDatabase, u64, Root)>,
    ) {
        let mut state = self.lock();
        let state = &mut *state;
        state.last_to_ms = state.last_to_ms.max(moment_ms);
        let known = &mut state.targets[target];
        match (known.basing.take(), &known.following) {
            // What was gathered meanwhile was too much: another one is needed.
            (None, None) => return,
            (Some(start), None) => {
                known.shipped = Some((start, start));
                known.lengths.clear();
            }
            (_, Some(_)) => {}
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

    /// A snapshot has an image of a database that may be older than what was shipped: what comes next of it must not need what
    /// lies between. `None`: it has none.
    pub(in crate::backup) fn goes_back(&self, id: DatabaseId, to: Option<Tag>) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(shipped) = &mut state.shipped else { return };
        match to {
            None => {
                shipped.remove(&id);
            }
            Some(to) => {
                shipped.entry(id).and_modify(|tag| {
                    if to.version < tag.version {
                        *tag = to;
                    }
                });
            }
        }
        // What is being gathered leads on from what was shipped until now.
        if state.gathering.is_some() {
            state.gone_back.insert(id);
        }
    }

    /// It failed.
    pub(in crate::backup) fn base_failed(&self, target: usize) {
        let known = &mut self.lock().targets[target];
        known.basing = None;
        if known.following.is_none() {
            known.lose();
        }
    }

    /// The targets that need a snapshot before anything can be shipped there.
    pub(in crate::backup) fn lacking_bases(&self) -> Vec<usize> {
        let state = self.lock();
        let lacking = |(index, target): (usize, &TargetLog)| {
            (target.following.is_none() && target.basing.is_none()).then_some(index)
        };
        state.targets.iter().enumerate().filter_map(lacking).collect()
    }

    /// control.db is another one than was gathered.
    pub(super) fn control_changed(&self, now: UnixMillis) {
        self.lock().control_since.get_or_insert(now);
    }

    /// Begins an interval, if one is due and somebody will get it; the last one is due whatever there is.
    pub(super) fn begin(&self, now: UnixMillis, is_last: bool) -> Option<BegunInterval> {
        let mut state = self.lock();
        let is_wanted = state.targets.iter().any(TargetLog::is_wanting);
        if !is_wanted || state.shipped.is_none() {
            return None;
        }
        let back: Vec<_> = state
            .aside
            .iter()
            .filter(|(_, (_, again))| is_last || is_over(*again, now))
            .map(|(id, _)| *id)
            .collect();
        for id in back {
            if let Some((since, _)) = state.aside.remove(&id) {
                self.changed.note(id, since);
            }
        }
        let oldest = self.changed.oldest().into_iter().chain(state.control_since).min()?;
        // Half of the lag is left for reading and shipping.
        // After a clock that was set back nobody knows how long it has waited.
        let waited = now.0.saturating_sub(oldest.0);
        if !is_last && (0..self.settings.lag_ms() / 2).contains(&waited) {
            return None;
        }
        state.gathering = Some(oldest);
        Some(BegunInterval {
            number: state.next,
            from_ms: now.0.max(state.last_to_ms),
            control_whole: std::mem::take(&mut state.control_whole),
            before: state.last_databases.clone(),
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
        let gone_back = std::mem::take(&mut state.gone_back);
        state.control_whole |= begun.control_whole && !had_control;
        let Some(interval) = interval else { return };
        state.next = begun.number + 1;
        state.last_to_ms = interval.interval.times.to_ms;
        state.last_databases = Some(interval.databases.clone());
        if let Some(shipped) = &mut state.shipped {
            shipped.extend(versions.into_iter().filter(|(id, _)| !gone_back.contains(id)));
        }
        let interval = Arc::new(interval);
        for target in &mut state.targets {
            if target.is_wanting() {
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
        state.gone_back.clear();
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
        state.last_databases = None;
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
        let next = target.queue.front().filter(|_| !target.is_held_back)?;
        Some((Arc::clone(&next.interval), target.following.clone()?))
    }

    /// A target has it.
    pub(super) fn shipped_to(&self, target: usize, interval: &SpooledInterval) {
        let target = &mut self.lock().targets[target];
        let is_first = target.queue.front().is_some_and(|first| first.interval.interval == interval.interval);
        // Else what waited was dropped meanwhile.
        if is_first && let Some((_, next)) = &mut target.shipped {
            target.queue.pop_front();
            *next = interval.interval.span.last + 1;
            target.lengths.insert(interval.interval.span.last, interval.bytes());
            if target.lengths.len() > LENGTHS {
                target.lengths.pop_first();
            }
        }
    }

    /// Whether nothing is brought to a target for now; what changes waits for it meanwhile.
    pub(in crate::backup) fn hold_back(&self, target: usize, is_held_back: bool) {
        self.lock().targets[target].is_held_back = is_held_back;
        self.wake.notify_waiters();
    }

    /// What was brought to a target that follows and may be asked, and how long the intervals are whose length is known.
    pub(super) fn shipped_span(&self, target: usize) -> Option<(LogSpan, BTreeMap<u64, u64>)> {
        let state = self.lock();
        let known = &state.targets[target];
        known.following.as_ref().filter(|_| !known.is_held_back)?;
        Some((known.span(self.run)?, known.lengths.clone()))
    }

    /// A target does not have what it had: nothing is shipped there until there is a new snapshot.
    pub(super) fn lost_on(&self, target: usize, now: UnixMillis) {
        let mut state = self.lock();
        let known = &mut state.targets[target];
        known.lose();
        known.lost = known.lost.or(Some(now));
        if !state.targets.iter().any(TargetLog::is_wanting) {
            state.shipped = None;
        }
    }

    /// Whether something that was acknowledged is on its way to a target, or cannot go there.
    pub(super) fn is_behind(&self, target: usize) -> bool {
        let state = self.lock();
        let known = &state.targets[target];
        let is_waiting = !known.queue.is_empty() || known.lost.is_some() || !state.aside.is_empty();
        is_waiting || self.changed.oldest().is_some()
    }

    /// A target did what was asked of it.
    pub(super) fn reached(&self, target: usize) {
        self.lock().targets[target].error = None;
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
            // 0 is for nothing that waits.
            lag_ms: oldest
                .map_or(0, |oldest| u64::try_from(now.0.saturating_sub(oldest.0)).unwrap_or(0).max(1)),
            has_gap: known.lost.is_some(),
            spool_bytes: known.queue.iter().map(|waiting| waiting.interval.bytes()).sum(),
            error: known.error.clone(),
        }
    }
}

/// Whether a time that was set aside until `again` is over; one that lies further ahead was set by a clock that was set back since.
fn is_over(again: UnixMillis, now: UnixMillis) -> bool {
    !(1..=ASIDE_MS).contains(&again.0.saturating_sub(now.0))
}

impl TargetLog {
    /// What waits goes, and nothing is shipped until there is a new snapshot.
    fn lose(&mut self) {
        let oldest = self.queue.iter().map(|waiting| waiting.oldest);
        self.lost = self.lost.into_iter().chain(oldest).min();
        self.queue.clear();
        self.following = None;
        self.basing = None;
    }

    /// Whether it gets what is gathered.
    const fn is_wanting(&self) -> bool {
        self.following.is_some() || self.basing.is_some()
    }

    /// What was brought there since it follows.
    fn span(&self, run: RunId) -> Option<LogSpan> {
        let (first, next) = self.shipped.filter(|(first, next)| first < next)?;
        Some(LogSpan { run, first, last: next - 1 })
    }
}

impl LogState {
    /// Lets those lose what waits that are furthest behind, until all of it fits (OPR-07).
    fn bound(&mut self, most: u64) {
        loop {
            let waiting: HashMap<u64, u64> = (self.targets.iter().flat_map(|target| &target.queue))
                .map(|waiting| (waiting.interval.number(), waiting.interval.bytes()))
                .collect();
            if waiting.values().sum::<u64>() <= most {
                break;
            }
            let oldest = waiting.keys().min().copied();
            for target in &mut self.targets {
                if target.queue.front().map(|first| first.interval.number()) == oldest {
                    target.lose();
                    tracing::error!(
                        "a backup target did not take the log for so long that backup.spool_mib is full: what waited for it is \
                         dropped, and a new backup closes the gap"
                    );
                }
            }
        }
        if !self.targets.iter().any(TargetLog::is_wanting) {
            self.shipped = None;
        }
    }
}
