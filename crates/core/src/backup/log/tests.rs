use std::collections::BTreeSet;

use ferry_types::UnixMillis;
use proptest::prelude::*;

use super::*;
use crate::backup::{
    SnapshotId,
    retention::{Retention, kept},
};

const RUN: RunId = RunId([1; 8]);
const HOUR_MS: i64 = 3_600_000;

fn object(interval: u64, part: u32, times: Option<(i64, i64)>) -> LogObject {
    let times = times.map(|(from_ms, to_ms)| IntervalTimes { from_ms, to_ms });
    LogObject { run: RUN, interval, part, times }
}

fn contents(objects: &[LogObject]) -> LogContents {
    let names: Vec<String> = objects.iter().map(ToString::to_string).collect();
    LogContents::of(names.iter().map(String::as_str))
}

/// Intervals of one part each, number and end.
fn intervals(ends: &[(u64, i64)]) -> LogContents {
    contents(&ends.iter().map(|(number, end)| object(*number, 0, Some((end - 5, *end)))).collect::<Vec<_>>())
}

fn base(time_ms: i64, interval: u64, name: u32) -> LogBase<u32> {
    LogBase { time_ms, log: Some(LogStart { run: RUN, interval }), name }
}

fn reached(plan: Result<LogPlan<u32>, NearestMoments>) -> Result<(u32, i64), (Option<i64>, Option<i64>)> {
    plan.map(|plan| (plan.base.name, plan.reached_ms()))
        .map_err(|nearest| (nearest.before_ms, nearest.after_ms))
}

#[test]
fn names_of_objects_are_read_as_they_are_written() {
    for object in [object(1, 0, Some((5, 9))), object(u64::from(u32::MAX), 99_999, None)] {
        assert_eq!(object.to_string().parse(), Ok(object));
    }
    let good = "log/0101010101010101/0000000007.00000.5-9";
    assert!(good.parse::<LogObject>().is_ok());
    for bad in [
        "log/0101010101010101/7.00000.5-9",
        "log/0101010101010101/0000000007.00000.9-5",
        "log/0101010101010101/0000000007.00000.+5-9",
        "log/../0000000007.00000.5-9",
        "log/0101010101010101/x/0000000007.00000.5-9",
        "packs/0101010101010101/0000000007.00000.5-9",
        "log/0101010101010101/0000000007.00000",
        "",
    ] {
        assert!(bad.parse::<LogObject>().is_err(), "{bad}");
    }
}

#[test]
fn an_interval_counts_once_all_of_its_parts_are_there() {
    let parts = [object(3, 0, None), object(3, 1, None), object(3, 2, Some((1, 2)))];
    assert_eq!(contents(&parts).count(), 1);
    for missing in 0..parts.len() {
        let mut some = parts.to_vec();
        some.remove(missing);
        let lacking = contents(&some);
        assert_eq!((lacking.count(), lacking.unfinished.len()), (0, 2), "{missing}");
    }
}

// Verifies: OPR-21
#[test]
fn a_moment_is_reached_from_the_nearest_snapshot_or_named_as_a_gap() {
    let log = intervals(&[(1, 100), (2, 200), (3, 300), (5, 500), (6, 600)]);
    let bases = [base(50, 1, 1), base(250, 3, 2), base(450, 5, 3)];
    assert_eq!(
        log.ranges(&bases),
        [RestorableRange { from_ms: 50, to_ms: 300 }, RestorableRange { from_ms: 450, to_ms: 600 }]
    );
    for (at, expected) in [
        (50, Ok((1, 50))),
        (99, Ok((1, 50))),
        (100, Ok((1, 100))),
        (249, Ok((1, 200))),
        (299, Ok((2, 250))),
        (300, Ok((2, 300))),
        (301, Err((Some(300), Some(450)))),
        (449, Err((Some(300), Some(450)))),
        (550, Ok((3, 500))),
        (9_999, Ok((3, 600))),
        (49, Err((None, Some(50)))),
    ] {
        assert_eq!(reached(log.plan(&bases, Some(at))), expected, "{at}");
    }
    assert_eq!(reached(log.plan(&bases, None)), Ok((3, 600)));
    assert_eq!(reached(log.plan(&[], None)), Err((None, None)));
}

#[test]
fn while_nothing_is_written_snapshots_follow_each_other_without_a_gap() {
    let log = intervals(&[(1, 100), (2, 900)]);
    let bases = [base(50, 1, 1), base(400, 2, 2), base(700, 2, 3)];
    assert_eq!(log.ranges(&bases), [RestorableRange { from_ms: 50, to_ms: 900 }]);
    assert_eq!(reached(log.plan(&bases, Some(300))), Ok((1, 100)));
    assert_eq!(reached(log.plan(&bases, Some(650))), Ok((2, 400)));
    // One without a log is a moment.
    let alone = [LogBase { time_ms: 10, log: None, name: 9 }];
    assert_eq!(log.ranges(&alone), [RestorableRange { from_ms: 10, to_ms: 10 }]);
}

/// A hub that runs, is killed, loses its target for a while, and prunes now and then.
struct World {
    now_ms: i64,
    runs: u8,
    next: u64,
    objects: BTreeSet<String>,
    bases: Vec<LogBase<SnapshotId>>,
    ever_objects: BTreeSet<String>,
    ever_bases: Vec<LogBase<SnapshotId>>,
}

impl World {
    fn run(&self) -> RunId {
        RunId([self.runs; 8])
    }

    fn ship(&mut self) {
        let times = Some(IntervalTimes { from_ms: self.now_ms - 10, to_ms: self.now_ms });
        let name = LogObject { run: self.run(), interval: self.next, part: 0, times }.to_string();
        self.objects.insert(name.clone());
        self.ever_objects.insert(name);
        self.next += 1;
    }

    fn snapshot(&mut self) {
        let log = Some(LogStart { run: self.run(), interval: self.next });
        let id = SnapshotId::new(UnixMillis(self.now_ms), 0);
        let base = LogBase { time_ms: self.now_ms + 1, log, name: id };
        self.bases.push(base);
        self.ever_bases.push(base);
    }

    fn prune(&mut self, days: u32) {
        let log = LogContents::of(self.objects.iter().map(String::as_str));
        let all: BTreeSet<SnapshotId> = self.bases.iter().map(|base| base.name).collect();
        let keep = Retention { last: 1, hourly: 0, daily: 3, weekly: 2, monthly: 2 };
        let mut stays = kept(&keep, &all);
        let retained = log.retained(&self.bases, &stays, (self.now_ms, days));
        stays.extend(&retained.needed);
        self.bases.retain(|base| stays.contains(&base.name));
        for object in retained.removed.iter().flat_map(LogInterval::objects) {
            assert!(self.objects.remove(&object.to_string()));
        }
    }

    fn check(&self, days: u32) -> Result<(), TestCaseError> {
        let log = LogContents::of(self.objects.iter().map(String::as_str));
        let ever = LogContents::of(self.ever_objects.iter().map(String::as_str));
        let cut = self.now_ms - i64::from(days) * 24 * HOUR_MS;
        let mut needed = BTreeSet::new();
        for interval in ever.intervals.values().filter(|interval| interval.times.to_ms >= cut) {
            let at = Some(interval.times.to_ms);
            let Ok(full) = ever.plan(&self.ever_bases, at) else { continue };
            if full.intervals.last() != Some(interval) {
                continue;
            }
            let pruned = log.plan(&self.bases, at);
            let last = pruned.as_ref().ok().and_then(|plan| plan.intervals.last());
            prop_assert_eq!(last, Some(interval), "{:?}", pruned);
            needed
                .extend(pruned.into_iter().flat_map(|plan| plan.intervals).map(|one| (one.run, one.number)));
        }
        let oldest = log.plan(&self.bases, Some(cut)).into_iter().flat_map(|plan| plan.intervals);
        needed.extend(oldest.map(|one| (one.run, one.number)));
        // What no restore of the last days reads is gone, but for what a snapshot may yet lead to.
        for interval in log.intervals.values() {
            let is_young = interval.times.to_ms >= self.now_ms - GARBAGE_MS;
            prop_assert!(is_young || needed.contains(&(interval.run, interval.number)), "{interval:?}");
        }
        // Each range that is listed restores, at both of its ends.
        for range in log.ranges(&self.bases) {
            prop_assert!(log.plan(&self.bases, Some(range.from_ms)).is_ok());
            prop_assert!(log.plan(&self.bases, Some(range.to_ms)).is_ok());
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    Ship,
    Snapshot,
    Restart,
    Gap,
    Prune,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        30 => Just(Happens::Ship),
        6 => Just(Happens::Snapshot),
        1 => Just(Happens::Restart),
        1 => Just(Happens::Gap),
        4 => Just(Happens::Prune),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    // Verifies: OPR-09
    #[test]
    fn two_hundred_days_of_prunes_leave_all_that_the_last_days_need_and_nothing_else(
        steps in prop::collection::vec((happens(), 1_i64..12), 800), days in 1_u32..10
    ) {
        let mut world = World {
            now_ms: 1_795_910_400_000, runs: 1, next: 1, objects: BTreeSet::new(), bases: Vec::new(),
            ever_objects: BTreeSet::new(), ever_bases: Vec::new(),
        };
        for (happens, hours) in steps {
            world.now_ms += hours * HOUR_MS;
            match happens {
                Happens::Ship => world.ship(),
                Happens::Snapshot => world.snapshot(),
                // A start takes one, unless it is killed before.
                Happens::Restart => (world.runs, world.next) = (world.runs.wrapping_add(1), 1),
                Happens::Gap => world.next += 1,
                Happens::Prune => {
                    world.prune(days);
                    world.check(days)?;
                }
            }
        }
    }
}
