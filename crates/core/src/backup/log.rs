//! What a hub ships between snapshots: one interval after the other, each with the pages that changed in it. Names of its
//! objects, which of them follow each other, and which moments can therefore be restored (OPR-05, OPR-09, OPR-21).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{MalformedBackup, id::hex_id};

hex_id!(
    /// One start of a hub: what two of them ship never has one name.
    RunId, 8, "a run"
);

/// The folder of the log's objects.
pub const LOG_FOLDER: &str = "log";
/// How long an interval stays that no snapshot leads to, in milliseconds: the one that will may be under way.
const GARBAGE_MS: i64 = 24 * 3_600_000;

/// Where the log goes on behind a snapshot: the first interval that it need not have all of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogStart {
    /// Of the run that took it.
    pub run: RunId,
    /// The interval.
    pub interval: u64,
}

/// The moments that an interval is about, in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalTimes {
    /// All that was acknowledged before is in it, or in those before it.
    pub from_ms: i64,
    /// Nothing is in it that was committed later.
    pub to_ms: i64,
}

/// An object of the log: a part of an interval. The last one has its times, and is written when the others are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogObject {
    /// Of which run.
    pub run: RunId,
    /// Of which interval; they are counted from 1.
    pub interval: u64,
    /// From 0.
    pub part: u32,
    /// `None`: more parts follow.
    pub times: Option<IntervalTimes>,
}

impl fmt::Display for LogObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, interval, part, times } = self;
        write!(f, "{LOG_FOLDER}/{run}/{interval:010}.{part:05}.")?;
        match times {
            None => f.write_str("more"),
            Some(times) => write!(f, "{}-{}", times.from_ms, times.to_ms),
        }
    }
}

impl FromStr for LogObject {
    type Err = MalformedBackup;

    fn from_str(path: &str) -> Result<Self, MalformedBackup> {
        let bad = || MalformedBackup::new(format!("{path} is no object of a log"));
        let mut folders = path.split('/');
        let (Some(LOG_FOLDER), Some(run), Some(name), None) =
            (folders.next(), folders.next(), folders.next(), folders.next())
        else {
            return Err(bad());
        };
        let mut fields = name.split('.');
        let (Some(interval), Some(part), Some(times), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(bad());
        };
        let times = match times {
            "more" => None,
            times => {
                let (from, to) = times.split_once('-').ok_or_else(bad)?;
                let (from_ms, to_ms) = (from.parse().map_err(|_| bad())?, to.parse().map_err(|_| bad())?);
                Some(IntervalTimes { from_ms, to_ms })
            }
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
        let part = u32::try_from(number(part)?).map_err(|_| bad())?;
        let object = Self { run: run.parse()?, interval: number(interval)?, part, times };
        let is_in_order = times.is_none_or(|times| times.from_ms <= times.to_ms);
        // Only the one spelling.
        if is_in_order && object.to_string() == path { Ok(object) } else { Err(bad()) }
    }
}

/// An interval all of whose parts are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogInterval {
    /// Of which run.
    pub run: RunId,
    /// Its number.
    pub number: u64,
    /// How many objects it has.
    pub parts: u32,
    /// Its moments.
    pub times: IntervalTimes,
}

impl LogInterval {
    /// Its objects, in their order.
    pub fn objects(&self) -> impl Iterator<Item = LogObject> {
        let Self { run, number, parts, times } = *self;
        (0..parts).map(move |part| LogObject {
            run,
            interval: number,
            part,
            times: (part + 1 == parts).then_some(times),
        })
    }
}

/// A snapshot, as far as the log is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogBase<K> {
    /// In Unix milliseconds: nothing in it is newer. With a log, what is older is in it, or in what follows until then.
    pub time_ms: i64,
    /// Where the log goes on; `None`: nowhere.
    pub log: Option<LogStart>,
    /// What it is called.
    pub name: K,
}

/// Moments that can be restored, in Unix milliseconds, the first and the last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RestorableRange {
    /// The first.
    pub from_ms: i64,
    /// The last.
    pub to_ms: i64,
}

impl RestorableRange {
    /// The same moments, ascending; ranges that touch are one.
    #[must_use]
    pub fn joined(mut ranges: Vec<Self>) -> Vec<Self> {
        ranges.sort_unstable();
        let mut joined: Vec<Self> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.from_ms <= last.to_ms => last.to_ms = last.to_ms.max(range.to_ms),
                _ => joined.push(range),
            }
        }
        joined
    }
}

/// What a restore reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlan<K> {
    /// From which snapshot.
    pub base: LogBase<K>,
    /// What of the log is played upon it, in this order.
    pub intervals: Vec<LogInterval>,
}

impl<K> LogPlan<K> {
    /// The moment that is reached, in Unix milliseconds.
    #[must_use]
    pub fn reached_ms(&self) -> i64 {
        // An interval that began before the snapshot may end before it.
        let last = self.intervals.last().map_or(self.base.time_ms, |interval| interval.times.to_ms);
        last.max(self.base.time_ms)
    }
}

/// Why a moment cannot be restored: the nearest ones that can, in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearestMoments {
    /// The last before it.
    pub before_ms: Option<i64>,
    /// The first after it.
    pub after_ms: Option<i64>,
}

/// What lies there of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogContents {
    intervals: BTreeMap<(RunId, u64), LogInterval>,
    /// Objects of intervals that lack a part.
    unfinished: Vec<LogObject>,
}

impl LogContents {
    /// Of the names of its objects. What is none of the log's is left out.
    #[must_use]
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut parts: BTreeMap<(RunId, u64), BTreeMap<u32, LogObject>> = BTreeMap::new();
        for object in paths.into_iter().filter_map(|path| path.parse::<LogObject>().ok()) {
            let parts = parts.entry((object.run, object.interval)).or_default();
            let known = parts.entry(object.part).or_insert(object);
            // Of two the one that ends it.
            if object.times.is_some() {
                *known = object;
            }
        }
        let mut contents = Self::default();
        for ((run, number), parts) in parts {
            let whole = parts.iter().next_back().and_then(|(last, object)| {
                let count = last.checked_add(1)?;
                let is_whole = parts.len() == count as usize
                    && parts.values().filter(|part| part.times.is_some()).count() == 1;
                let interval = LogInterval { run, number, parts: count, times: object.times? };
                is_whole.then_some(interval)
            });
            match whole {
                Some(interval) => drop(contents.intervals.insert((run, number), interval)),
                None => contents.unfinished.extend(parts.into_values()),
            }
        }
        contents
    }

    /// How many intervals are whole.
    #[must_use]
    pub fn count(&self) -> usize {
        self.intervals.len()
    }

    /// The intervals that follow `start` without one missing.
    fn following(&self, start: LogStart) -> impl Iterator<Item = &LogInterval> {
        (start.interval..=u64::MAX).map_while(move |number| self.intervals.get(&(start.run, number)))
    }

    /// The number behind the last of those.
    fn end_of(&self, start: LogStart) -> u64 {
        self.following(start).last().map_or(start.interval, |last| last.number + 1)
    }

    /// What can be restored with these snapshots, ascending. Ranges that touch are one.
    #[must_use]
    pub fn ranges<K: Copy + Ord>(&self, bases: &[LogBase<K>]) -> Vec<RestorableRange> {
        RestorableRange::joined(self.chains(bases).iter().map(|chain| chain.range).collect())
    }

    /// What is read to restore the newest moment that is not after `at_ms`; without one, the newest of all. The snapshot that
    /// is nearest is played upon.
    ///
    /// # Errors
    /// When `at_ms` lies before all of them, or where a part of the log is missing.
    pub fn plan<K: Copy + Ord>(
        &self,
        bases: &[LogBase<K>],
        at_ms: Option<i64>,
    ) -> Result<LogPlan<K>, NearestMoments> {
        let ranges = self.ranges(bases);
        let nearest = NearestMoments {
            before_ms: ranges.iter().map(|range| range.to_ms).filter(|to| Some(*to) < at_ms).max(),
            after_ms: ranges.iter().map(|range| range.from_ms).filter(|from| Some(*from) > at_ms).min(),
        };
        if let Some(at) = at_ms {
            let is_in_one = ranges.iter().any(|range| range.from_ms <= at && at <= range.to_ms);
            let is_after_all = ranges.last().is_some_and(|last| last.to_ms < at);
            if !is_in_one && !is_after_all {
                return Err(nearest);
            }
        }
        let until = |base: &LogBase<K>| {
            let following = base.log.into_iter().flat_map(|start| self.following(start));
            let until = following.take_while(|interval| at_ms.is_none_or(|at| interval.times.to_ms <= at));
            LogPlan { base: *base, intervals: until.copied().collect() }
        };
        let early = bases.iter().filter(|base| at_ms.is_none_or(|at| base.time_ms <= at));
        early.map(until).max_by_key(|plan| (plan.reached_ms(), plan.base)).ok_or(nearest)
    }

    /// Snapshots and intervals that follow each other without a gap.
    fn chains<K: Copy + Ord>(&self, bases: &[LogBase<K>]) -> Vec<Chain<K>> {
        let mut chains: Vec<Chain<K>> = Vec::new();
        let mut bases = bases.to_vec();
        bases.sort_unstable_by_key(|base| (base.log, base.time_ms, base.name));
        for base in bases {
            let point = RestorableRange { from_ms: base.time_ms, to_ms: base.time_ms };
            let Some(start) = base.log else {
                chains.push(Chain { bases: vec![base], end: None, range: point });
                continue;
            };
            if let Some(chain) = chains.last_mut()
                && let Some(end) = chain.end
                && end.run == start.run
                && start.interval <= end.interval
            {
                chain.bases.push(base);
                chain.range.to_ms = chain.range.to_ms.max(base.time_ms);
                chain.range.from_ms = chain.range.from_ms.min(base.time_ms);
                continue;
            }
            let end = self.end_of(start);
            let last = end.checked_sub(1).and_then(|last| self.intervals.get(&(start.run, last)));
            let to_ms = last.filter(|_| end > start.interval).map_or(point.to_ms, |last| last.times.to_ms);
            let range = RestorableRange { to_ms: to_ms.max(point.to_ms), ..point };
            chains.push(Chain { bases: vec![base], end: Some(LogStart { interval: end, ..start }), range });
        }
        chains
    }

    /// What a prune at `now_ms` keeps of the log beside the snapshots that are `kept` anyway, so that whatever can be restored of
    /// the last `days` stays so.
    #[must_use]
    pub fn retained<K: Copy + Ord>(
        &self,
        bases: &[LogBase<K>],
        kept: &BTreeSet<K>,
        (now_ms, days): (i64, u32),
    ) -> RetainedLog<K> {
        const DAY_MS: i64 = 24 * 3_600_000;
        let cut = now_ms.saturating_sub(i64::from(days) * DAY_MS);
        let mut needed: BTreeSet<K> = BTreeSet::new();
        // From which interval on those of a chain stay.
        let mut from: Vec<(LogStart, u64)> = Vec::new();
        for chain in self.chains(bases) {
            let Some(end) = chain.end.filter(|_| chain.range.to_ms >= cut) else { continue };
            let by_time = |base: &&LogBase<K>| (base.time_ms, base.log, base.name);
            let before = chain.bases.iter().filter(|base| base.time_ms <= cut).max_by_key(by_time);
            let Some(base) = before.or_else(|| chain.bases.iter().min_by_key(by_time)) else { continue };
            let Some(start) = base.log else { continue };
            if end.interval > start.interval || kept.contains(&base.name) {
                needed.insert(base.name);
                from.push((start, end.interval));
                // Where nothing was written any more, it is a snapshot that says so.
                let last = chain.bases.iter().max_by_key(by_time);
                needed.extend(last.filter(|last| last.time_ms == chain.range.to_ms).map(|last| last.name));
            }
        }
        let is_needed = |interval: &LogInterval| {
            from.iter().any(|(start, end)| {
                start.run == interval.run && (start.interval..*end).contains(&interval.number)
            })
        };
        let is_new = |times: IntervalTimes| times.to_ms >= now_ms.saturating_sub(GARBAGE_MS);
        // What leads nowhere yet may be what a snapshot that is being taken goes on with.
        let reached: Vec<_> = self
            .chains(bases)
            .into_iter()
            .filter_map(|chain| Some((chain.bases.first()?.log?, chain.end?)))
            .collect();
        let is_reached = |interval: &LogInterval| {
            reached.iter().any(|(start, end)| {
                start.run == interval.run && (start.interval..end.interval).contains(&interval.number)
            })
        };
        let goes = |interval: &&LogInterval| {
            !is_needed(interval) && (is_reached(interval) || !is_new(interval.times))
        };
        let removed = self.intervals.values().filter(goes).copied().collect();
        RetainedLog { needed, removed, unfinished: self.unfinished.clone() }
    }
}

/// What follows each other: each of the snapshots leads on to `end`.
struct Chain<K> {
    bases: Vec<LogBase<K>>,
    /// Behind the last interval; `None`: a snapshot without a log.
    end: Option<LogStart>,
    range: RestorableRange,
}

/// What a prune leaves of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedLog<K> {
    /// Snapshots that the log begins with.
    pub needed: BTreeSet<K>,
    /// Intervals that go.
    pub removed: Vec<LogInterval>,
    /// Objects of intervals that lack a part: they go once nobody can be writing them.
    pub unfinished: Vec<LogObject>,
}

#[cfg(test)]
mod tests;
