//! What of the log is merged, and when (OPR-09): as it was shipped for an hour, then into one object a minute, and after a day into
//! one an hour. A moment inside of what was merged is reached at the end of the one before it.

use super::{
    contents::{LogContents, LogInterval},
    names::{IntervalTimes, LogObject, LogSpan},
};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// How long after the end of a minute it is merged, and after the end of an hour.
const MINUTES_AFTER_MS: i64 = HOUR_MS;
const HOURS_AFTER_MS: i64 = 24 * HOUR_MS;
/// Most bytes that are merged into one: so much waits on the disk of whoever merges. Where more was written, fewer are merged.
pub const MERGED_BYTES: u64 = 64 << 20;

/// Intervals that become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogMerge {
    /// Those that follow each other, two or more.
    pub intervals: Vec<LogInterval>,
}

impl LogMerge {
    /// What they are together, in objects that are yet to be counted.
    ///
    /// # Panics
    /// Never: there are some.
    #[must_use]
    pub fn whole(&self) -> (LogSpan, IntervalTimes) {
        let [first, .., last] = &self.intervals[..] else { unreachable!("BUG: two or more are merged") };
        let span = LogSpan { last: last.span.last, ..first.span };
        (span, IntervalTimes { from_ms: first.times.from_ms, to_ms: last.times.to_ms })
    }
}

impl LogContents {
    /// What is merged at `now_ms`, the oldest first; `bytes` tells how long an interval is.
    #[must_use]
    pub fn merges(&self, now_ms: i64, bytes: impl Fn(&LogInterval) -> u64) -> Vec<LogMerge> {
        let mut merges: Vec<LogMerge> = Vec::new();
        let mut group: Vec<LogInterval> = Vec::new();
        let mut length = 0_u64;
        for interval in self.intervals() {
            let more = bytes(interval);
            let step = step_of(interval.times.to_ms, now_ms);
            let goes_on = group.last().is_some_and(|last| {
                let follows = last.span.run == interval.span.run && last.span.last + 1 == interval.span.first;
                follows && step.is_some() && step == step_of(last.times.to_ms, now_ms)
            });
            if !goes_on || length.saturating_add(more) > MERGED_BYTES {
                end(&mut group, &mut merges);
                length = 0;
            }
            length = length.saturating_add(more);
            group.push(*interval);
        }
        end(&mut group, &mut merges);
        merges.sort_by_key(|merge| merge.whole().1.to_ms);
        merges
    }

    /// Those that lie merged in another one, each with that one.
    pub fn merged(&self) -> impl Iterator<Item = (&LogInterval, &LogInterval)> {
        self.merged.iter().filter_map(|part| Some((part, self.interval(part.span.run, part.span.first)?)))
    }

    /// Objects of merges that were cut short.
    pub fn unfinished_merges(&self) -> impl Iterator<Item = &LogObject> {
        self.unfinished.iter().filter(|object| object.span.first < object.span.last)
    }
}

fn end(group: &mut Vec<LogInterval>, merges: &mut Vec<LogMerge>) {
    let intervals = std::mem::take(group);
    if intervals.len() > 1 {
        merges.push(LogMerge { intervals });
    }
}

/// The minute or the hour that an interval ends in, as its length and its number, once it is merged with others of it.
fn step_of(to_ms: i64, now_ms: i64) -> Option<(i64, i64)> {
    [(HOUR_MS, HOURS_AFTER_MS), (MINUTE_MS, MINUTES_AFTER_MS)].into_iter().find_map(|(length, after)| {
        let step = to_ms.div_euclid(length);
        let over_ms = (step + 1).checked_mul(length)?.checked_add(after)?;
        (over_ms <= now_ms).then_some((length, step))
    })
}
