//! Two hundred days of a hub and its log, by what lies on the target alone.

use std::collections::BTreeSet;

use ferry_types::{RunId, UnixMillis};
use proptest::prelude::*;

use super::*;
use crate::backup::{
    SnapshotId,
    retention::{Retention, kept},
};

const HOUR_MS: i64 = 3_600_000;
/// How long an interval stays that no snapshot leads to.
const GARBAGE_MS: i64 = 24 * HOUR_MS;

/// A hub that runs, is killed, loses its target for a while, and prunes now and then.
struct World {
    now_ms: i64,
    runs: u8,
    next: u64,
    /// Where the log begins that goes on; `None`: it waits for a snapshot.
    following: Option<u64>,
    objects: BTreeSet<String>,
    bases: Vec<LogBase<SnapshotId>>,
    ever_objects: BTreeSet<String>,
    ever_bases: Vec<LogBase<SnapshotId>>,
}

impl World {
    fn new() -> Self {
        Self {
            now_ms: 1_795_910_400_000,
            runs: 1,
            next: 1,
            following: None,
            objects: BTreeSet::new(),
            bases: Vec::new(),
            ever_objects: BTreeSet::new(),
            ever_bases: Vec::new(),
        }
    }

    fn run(&self) -> RunId {
        RunId(u64::from(self.runs))
    }

    fn log(&self) -> LogContents {
        LogContents::of(self.objects.iter().map(String::as_str))
    }

    fn shipped(&self) -> Option<LogSpan> {
        let first = self.following.filter(|first| *first < self.next)?;
        Some(LogSpan { run: self.run(), first, last: self.next - 1 })
    }

    fn ship(&mut self) {
        if self.following.is_some() {
            let times = Some(IntervalTimes { from_ms: self.now_ms - 10, to_ms: self.now_ms });
            let span = LogSpan::of(self.run(), self.next);
            let name = LogObject { span, part: 0, times }.to_string();
            self.objects.insert(name.clone());
            self.ever_objects.insert(name);
        }
        self.next += 1;
    }

    fn note_head(&mut self) {
        let head = self.shipped().map(|span| LogMark::Head(span, self.now_ms));
        self.objects.extend(head.map(|head| head.to_string()));
    }

    fn snapshot(&mut self) {
        let log = Some(LogStart { run: self.run(), interval: self.next });
        let id = SnapshotId::new(UnixMillis(self.now_ms), 0);
        let base = LogBase { time_ms: self.now_ms + 1, log, name: id, shipped: self.shipped() };
        self.following.get_or_insert(self.next);
        self.bases.push(base);
        self.ever_bases.push(base);
    }

    /// With `killed` it ends in the middle.
    fn prune(&mut self, days: u32, killed: Option<usize>) {
        let all: BTreeSet<SnapshotId> = self.bases.iter().map(|base| base.name).collect();
        let keep = Retention { last: 1, hourly: 0, daily: 3, weekly: 2, monthly: 2 };
        let mut stays = kept(&keep, &all);
        let retained = self.log().retained(&self.bases, &stays, |_| true, (self.now_ms, days));
        stays.extend(&retained.needed);
        // In the order of `prune`.
        let pruned = retained.pruned.iter().map(|start| LogMark::Pruned(*start).to_string());
        self.objects.extend(pruned.take(killed.unwrap_or(usize::MAX)));
        let Some(left) = killed.unwrap_or(usize::MAX).checked_sub(retained.pruned.len()) else { return };
        self.bases.retain(|base| stays.contains(&base.name));
        let removed = retained.removed.iter().flat_map(LogInterval::objects).map(|object| object.to_string());
        let marks = retained.marks.iter().map(ToString::to_string);
        for name in marks.chain(removed).take(left) {
            assert!(self.objects.remove(&name), "{name}");
        }
    }

    /// With `killed` it ends in the middle.
    fn merge(&mut self, killed: Option<usize>) {
        let log = self.log();
        let mut left = killed.unwrap_or(usize::MAX);
        let mut step = |objects: &mut BTreeSet<String>, name: String, adds: bool| {
            let Some(fewer) = left.checked_sub(1) else { return };
            left = fewer;
            assert!(if adds { objects.insert(name) } else { objects.remove(&name) });
        };
        for object in log.unfinished_merges() {
            step(&mut self.objects, object.to_string(), false);
        }
        for object in log.merged().flat_map(|(part, _)| part.objects()) {
            step(&mut self.objects, object.to_string(), false);
        }
        for merge in log.merges(self.now_ms, |_| 1) {
            let (span, times) = merge.whole();
            let merged = LogInterval { span, parts: 2, times };
            for object in merged.objects() {
                step(&mut self.objects, object.to_string(), true);
            }
            for object in merge.intervals.iter().flat_map(LogInterval::objects) {
                step(&mut self.objects, object.to_string(), false);
            }
        }
    }

    fn check(&self, days: u32) -> Result<(), TestCaseError> {
        let log = self.log();
        let ever = LogContents::of(self.ever_objects.iter().map(String::as_str));
        let cut = self.now_ms - i64::from(days) * 24 * HOUR_MS;
        let mut needed = BTreeSet::new();
        for interval in ever.intervals().filter(|interval| interval.times.to_ms >= cut) {
            let at = Some(interval.times.to_ms);
            let Ok(full) = ever.plan(&self.ever_bases, at) else { continue };
            if full.intervals.last() != Some(interval) {
                continue;
            }
            let pruned = log.plan(&self.bases, at);
            // Inside of what was merged the end of the step before is reached.
            let there = log.interval(interval.span.run, interval.span.first);
            if let Some(there) = there.filter(|there| there.times.to_ms > interval.times.to_ms) {
                prop_assert!(self.now_ms - interval.times.to_ms > HOUR_MS, "{there:?}");
                prop_assert!(there.times.to_ms - interval.times.to_ms < HOUR_MS, "{there:?}");
                needed.insert(there.span);
                continue;
            }
            let last = pruned.as_ref().ok().and_then(|plan| plan.intervals.last());
            prop_assert_eq!(last, there, "{:?} {:?}", pruned, self.objects);
            needed.extend(pruned.into_iter().flat_map(|plan| plan.intervals).map(|one| one.span));
        }
        let oldest = log.plan(&self.bases, Some(cut)).into_iter().flat_map(|plan| plan.intervals);
        needed.extend(oldest.map(|one| one.span));
        // What no restore of the last days reads is gone, but for what a snapshot may yet lead to.
        for interval in log.intervals() {
            let is_young = interval.times.to_ms >= self.now_ms - GARBAGE_MS;
            prop_assert!(is_young || needed.contains(&interval.span), "{interval:?}");
        }
        let told = log.marks().count();
        prop_assert!(told <= 2 * self.bases.len() + 2 + log.count(), "{told} marks");
        self.check_ranges(&log)
    }

    /// Each range that is listed restores, at both of its ends; and nothing is missed that nobody took.
    fn check_ranges(&self, log: &LogContents) -> Result<(), TestCaseError> {
        for range in log.ranges(&self.bases) {
            prop_assert!(log.plan(&self.bases, Some(range.from_ms)).is_ok());
            prop_assert!(log.plan(&self.bases, Some(range.to_ms)).is_ok());
        }
        let lost = log.lost(&self.bases);
        prop_assert!(lost.is_empty(), "{lost:?} {:?} {:?}", self.bases, self.objects);
        Ok(())
    }

    /// One that somebody takes is missed, if it was ever said to be there.
    fn check_loss(&self, which: usize) -> Result<(), TestCaseError> {
        let log = self.log();
        let all: Vec<LogInterval> = log.intervals().copied().collect();
        let Some(gone) = all.get(which.checked_rem(all.len()).unwrap_or(0)) else { return Ok(()) };
        let stated = self.bases.iter().filter_map(|base| base.shipped);
        let stated = stated.chain(log.marks().filter_map(|mark| match mark {
            LogMark::Head(span, _) => Some(span),
            LogMark::Pruned(_) => None,
        }));
        let is_stated = stated
            .into_iter()
            .any(|span| span.run == gone.span.run && span.has(gone.span.first) && span.has(gone.span.last));
        let mut left = self.objects.clone();
        for object in gone.objects() {
            left.remove(&object.to_string());
        }
        let lost = LogContents::of(left.iter().map(String::as_str)).lost(&self.bases);
        // Parts of what was merged may lie there yet.
        let is_there = log.merged().any(|(_, whole)| whole.span == gone.span);
        let is_missed = is_there || lost.iter().any(|lost| lost.span == gone.span);
        let is_pruned = log.marks().any(|mark| match mark {
            LogMark::Pruned(start) => start.run == gone.span.run && start.interval > gone.span.last,
            LogMark::Head(..) => false,
        });
        prop_assert!(is_missed || is_pruned || !is_stated, "{gone:?} {lost:?}");
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    Ship,
    Head,
    Snapshot,
    Restart,
    Gap,
    Prune,
    KilledPrune,
    Merge,
    KilledMerge,
    Theft,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        30 => Just(Happens::Ship),
        6 => Just(Happens::Head),
        6 => Just(Happens::Snapshot),
        1 => Just(Happens::Restart),
        1 => Just(Happens::Gap),
        4 => Just(Happens::Prune),
        2 => Just(Happens::KilledPrune),
        3 => Just(Happens::Merge),
        2 => Just(Happens::KilledMerge),
        4 => Just(Happens::Theft),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    // Verifies: OPR-09
    #[test]
    fn two_hundred_days_of_prunes_leave_all_that_the_last_days_need_and_nothing_else(
        steps in prop::collection::vec((happens(), 1_i64..12, any::<prop::sample::Index>()), 800), days in 1_u32..10
    ) {
        let mut world = World::new();
        for (happens, hours, which) in steps {
            world.now_ms += hours * HOUR_MS;
            match happens {
                Happens::Ship => {
                    for _ in 0..=which.index(6) {
                        world.ship();
                        world.now_ms += 15_000;
                    }
                }
                Happens::Head => world.note_head(),
                Happens::Snapshot => world.snapshot(),
                // A start takes one, unless it is killed before.
                Happens::Restart => {
                    (world.runs, world.next) = (world.runs.wrapping_add(1), 1);
                    world.following = None;
                }
                Happens::Gap => (world.next, world.following) = (world.next + 1, None),
                Happens::Prune => {
                    world.prune(days, None);
                    world.check(days)?;
                }
                Happens::KilledPrune => {
                    world.prune(days, Some(which.index(40)));
                    world.check_ranges(&world.log())?;
                }
                Happens::Merge => {
                    world.merge(None);
                    world.prune(days, None);
                    world.check(days)?;
                }
                Happens::KilledMerge => {
                    world.merge(Some(which.index(12)));
                    world.check_ranges(&world.log())?;
                }
                Happens::Theft => world.check_loss(which.index(usize::MAX))?,
            }
        }
    }
}
