//! What lies there of a log, and which of it follows each other.

use std::collections::{BTreeMap, BTreeSet};

use ferry_types::RunId;

use super::{
    names::{IntervalTimes, LogMark, LogObject, LogSpan, LogStart},
    range::RestorableRange,
};

/// An interval all of whose parts are there; or several that were merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogInterval {
    /// Which ones.
    pub span: LogSpan,
    /// How many objects it has.
    pub parts: u32,
    /// Its moments.
    pub times: IntervalTimes,
}

impl LogInterval {
    /// Its objects, in their order.
    pub fn objects(&self) -> impl Iterator<Item = LogObject> {
        let Self { span, parts, times } = *self;
        (0..parts).map(move |part| LogObject { span, part, times: (part + 1 == parts).then_some(times) })
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
    /// What of the log was on the target when it was taken, as far as it tells.
    pub shipped: Option<LogSpan>,
}

/// What lies there of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogContents {
    /// By run and first number; none lies within another.
    pub(super) intervals: BTreeMap<(RunId, u64), LogInterval>,
    /// Those that one of them has in it, since they were merged.
    pub(super) merged: Vec<LogInterval>,
    /// Objects of intervals that lack a part.
    pub(super) unfinished: Vec<LogObject>,
    pub(super) marks: BTreeSet<LogMark>,
}

impl LogContents {
    /// Of the names of its objects. What is none of the log's is left out.
    #[must_use]
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut contents = Self::default();
        let mut parts: BTreeMap<LogSpan, BTreeMap<u32, LogObject>> = BTreeMap::new();
        for path in paths {
            if let Ok(object) = path.parse::<LogObject>() {
                let parts = parts.entry(object.span).or_default();
                let known = parts.entry(object.part).or_insert(object);
                // Of two the one that ends it.
                if object.times.is_some() {
                    *known = object;
                }
            } else if let Ok(mark) = path.parse::<LogMark>() {
                contents.marks.insert(mark);
            }
        }
        let mut whole = Vec::new();
        for (span, parts) in parts {
            let interval = parts.iter().next_back().and_then(|(last, object)| {
                let count = last.checked_add(1)?;
                let is_whole = parts.len() == count as usize
                    && parts.values().filter(|part| part.times.is_some()).count() == 1;
                let interval = LogInterval { span, parts: count, times: object.times? };
                is_whole.then_some(interval)
            });
            match interval {
                Some(interval) => whole.push(interval),
                None => contents.unfinished.extend(parts.into_values()),
            }
        }
        // The longest of those that begin together first: the others lie in it.
        whole.sort_unstable_by_key(|interval| {
            let LogSpan { run, first, last } = interval.span;
            (run, first, std::cmp::Reverse(last))
        });
        let mut reached: Option<LogSpan> = None;
        for interval in whole {
            let LogSpan { run, first, last } = interval.span;
            if reached.is_some_and(|reached| reached.run == run && last <= reached.last) {
                contents.merged.push(interval);
                continue;
            }
            reached = Some(interval.span);
            contents.intervals.insert((run, first), interval);
        }
        contents
    }

    /// How many intervals are whole, those that were merged counted once.
    #[must_use]
    pub fn count(&self) -> usize {
        self.intervals.len()
    }

    /// What is noted beside them.
    pub fn marks(&self) -> impl Iterator<Item = LogMark> {
        self.marks.iter().copied()
    }

    /// Whole intervals, by run and number; of those that were merged what they are in.
    pub fn intervals(&self) -> impl Iterator<Item = &LogInterval> {
        self.intervals.values()
    }

    /// The interval of this number, or that it is in.
    #[must_use]
    pub fn interval(&self, run: RunId, number: u64) -> Option<&LogInterval> {
        let (_, found) = self.intervals.range((run, 0)..=(run, number)).next_back()?;
        found.span.has(number).then_some(found)
    }

    /// The first whole interval of a run that begins behind this number.
    #[must_use]
    pub fn behind(&self, run: RunId, number: u64) -> Option<&LogInterval> {
        let from = number.checked_add(1)?;
        self.intervals.range((run, from)..=(run, u64::MAX)).next().map(|(_, found)| found)
    }

    /// The last moment that any of it is about, in Unix milliseconds.
    #[must_use]
    pub fn newest_ms(&self) -> Option<i64> {
        let heads = self.marks.iter().filter_map(|mark| match mark {
            LogMark::Head(_, to_ms) => Some(*to_ms),
            LogMark::Pruned(_) => None,
        });
        self.intervals.values().map(|interval| interval.times.to_ms).chain(heads).max()
    }

    /// The intervals that follow `start` without one missing.
    pub(super) fn following(&self, start: LogStart) -> impl Iterator<Item = &LogInterval> {
        let mut next = start.interval;
        std::iter::from_fn(move || {
            let found = self.interval(start.run, next)?;
            next = found.span.last + 1;
            Some(found)
        })
    }

    /// The number behind the last of those.
    pub(super) fn end_of(&self, start: LogStart) -> u64 {
        self.following(start).last().map_or(start.interval, |last| last.span.last + 1)
    }

    /// Snapshots and intervals that follow each other without a gap.
    pub(super) fn chains<K: Copy + Ord>(&self, bases: &[LogBase<K>]) -> Vec<LogChain<K>> {
        let mut chains: Vec<LogChain<K>> = Vec::new();
        let mut bases = bases.to_vec();
        bases.sort_unstable_by_key(|base| (base.log, base.time_ms, base.name));
        for base in bases {
            let point = RestorableRange { from_ms: base.time_ms, to_ms: base.time_ms };
            let Some(start) = base.log else {
                chains.push(LogChain { bases: vec![base], end: None, range: point });
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
            let to_ms = self.following(start).last().map_or(point.to_ms, |last| last.times.to_ms);
            let range = RestorableRange { to_ms: to_ms.max(point.to_ms), ..point };
            let end = LogStart { interval: self.end_of(start), ..start };
            chains.push(LogChain { bases: vec![base], end: Some(end), range });
        }
        chains
    }
}

/// What follows each other: each of the snapshots leads on to `end`.
pub(super) struct LogChain<K> {
    pub(super) bases: Vec<LogBase<K>>,
    /// Behind the last interval; `None`: a snapshot without a log.
    pub(super) end: Option<LogStart>,
    pub(super) range: RestorableRange,
}
