//! Which moments can be restored, and from what (OPR-21).

use super::{
    contents::{LogBase, LogContents, LogInterval},
    lost::LostIntervals,
    names::LogStart,
    range::RestorableRange,
};

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

/// The nearest moments that can be restored to one that cannot, in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearestMoments {
    /// The last before it.
    pub before_ms: Option<i64>,
    /// The first after it.
    pub after_ms: Option<i64>,
}

/// Why a moment cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreachedMoment {
    /// Nothing of it was ever there.
    NotKept(NearestMoments),
    /// What leads to it was lost.
    Lost(LostIntervals, NearestMoments),
}

impl LogContents {
    /// What can be restored with these snapshots, ascending. Ranges that touch are one.
    #[must_use]
    pub fn ranges<K: Copy + Ord>(&self, bases: &[LogBase<K>]) -> Vec<RestorableRange> {
        RestorableRange::joined(self.chains(bases).iter().map(|chain| chain.range).collect())
    }

    /// What is read to restore the newest moment that is not after `at_ms`; without one, the newest of all. The snapshot that
    /// is nearest is played upon.
    ///
    /// # Errors
    /// When `at_ms` lies before all of them, or where a part of the log is missing; without one when what would be newer was lost.
    pub fn plan<K: Copy + Ord>(
        &self,
        bases: &[LogBase<K>],
        at_ms: Option<i64>,
    ) -> Result<LogPlan<K>, UnreachedMoment> {
        let ranges = self.ranges(bases);
        let nearest = NearestMoments {
            before_ms: ranges
                .iter()
                .map(|range| range.to_ms)
                .filter(|to| at_ms.is_none_or(|at| *to < at))
                .max(),
            after_ms: ranges.iter().map(|range| range.from_ms).filter(|from| Some(*from) > at_ms).min(),
        };
        let is_in_one =
            at_ms.is_some_and(|at| ranges.iter().any(|range| range.from_ms <= at && at <= range.to_ms));
        if !is_in_one {
            // Whatever it is that comes before it: had it gone on, it would lead there.
            let chains = self.chains(bases);
            let before = chains.iter().filter(|chain| at_ms.is_none_or(|at| chain.range.to_ms < at));
            let end = before.max_by_key(|chain| (chain.range.to_ms, chain.bases.last().copied()));
            if let Some(lost) = end.and_then(|chain| self.lost_at(bases, chain.end?)) {
                return Err(UnreachedMoment::Lost(lost, nearest));
            }
        }
        if let Some(at) = at_ms
            && !is_in_one
            && ranges.last().is_none_or(|last| at <= last.to_ms)
        {
            return Err(UnreachedMoment::NotKept(nearest));
        }
        let until = |base: &LogBase<K>| {
            let mut plan = self.played_upon(base);
            let end = plan.intervals.iter().position(|one| at_ms.is_some_and(|at| one.times.to_ms > at));
            plan.intervals.truncate(end.unwrap_or(plan.intervals.len()));
            plan
        };
        let early = bases.iter().filter(|base| at_ms.is_none_or(|at| base.time_ms <= at));
        let plan = early.map(until).max_by_key(|plan| (plan.reached_ms(), plan.base));
        plan.ok_or(UnreachedMoment::NotKept(nearest))
    }

    /// All that follows a snapshot without a gap.
    #[must_use]
    pub fn played_upon<K: Copy>(&self, base: &LogBase<K>) -> LogPlan<K> {
        let following = base.log.into_iter().flat_map(|start| self.following(start));
        LogPlan { base: *base, intervals: following.copied().collect() }
    }

    /// What was lost that began with this interval.
    fn lost_at<K: Copy>(&self, bases: &[LogBase<K>], end: LogStart) -> Option<LostIntervals> {
        let mut lost = self.lost(bases).into_iter();
        lost.find(|lost| lost.span.run == end.run && lost.span.has(end.interval))
    }
}
