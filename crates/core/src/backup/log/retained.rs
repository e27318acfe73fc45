//! What a prune leaves of the log (OPR-09).

use std::collections::{BTreeMap, BTreeSet};

use ferry_types::RunId;

use super::{
    contents::{LogBase, LogContents, LogInterval},
    names::{IntervalTimes, LogMark, LogObject, LogSpan, LogStart},
};

const DAY_MS: i64 = 24 * 3_600_000;
/// How long an interval stays that no snapshot leads to, in milliseconds: the one that will may be under way.
const GARBAGE_MS: i64 = DAY_MS;

/// What a prune leaves of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedLog<K> {
    /// Snapshots that the log begins with.
    pub needed: BTreeSet<K>,
    /// Intervals that go, those first that lie merged in another one that goes.
    pub removed: Vec<LogInterval>,
    /// Objects of intervals that lack a part: they go once nobody can be writing them.
    pub unfinished: Vec<LogObject>,
    /// What is noted before anything is removed, snapshots included: below which numbers nothing is missed.
    pub pruned: Vec<LogStart>,
    /// Marks that go then, before any interval does: nobody misses what they told.
    pub marks: Vec<LogMark>,
}

impl LogContents {
    /// What a prune at `now_ms` keeps of the log beside the snapshots that are `kept` anyway, so that whatever can be restored of
    /// the last `days` stays so. `is_owners` tells the snapshots of the hub whose the target is.
    #[must_use]
    pub fn retained<K: Copy + Ord>(
        &self,
        bases: &[LogBase<K>],
        kept: &BTreeSet<K>,
        is_owners: impl Fn(K) -> bool,
        (now_ms, days): (i64, u32),
    ) -> RetainedLog<K> {
        let cut = now_ms.saturating_sub(i64::from(days) * DAY_MS);
        let mut needed: BTreeSet<K> = BTreeSet::new();
        // From which interval on those of a chain stay.
        let mut from: Vec<(LogStart, u64)> = Vec::new();
        let chains = self.chains(bases);
        let by_time = |base: &&LogBase<K>| (base.time_ms, base.log, base.name);
        // Behind this one the log goes on, however long nothing was written.
        let owners = bases.iter().filter(|base| is_owners(base.name));
        let newest = owners.max_by_key(by_time).map(|base| base.name);
        for chain in &chains {
            let is_needed =
                chain.range.to_ms >= cut || chain.bases.iter().any(|base| Some(base.name) == newest);
            let Some(end) = chain.end.filter(|_| is_needed) else { continue };
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
        // What leads nowhere yet may be what a snapshot that is being taken goes on with.
        let reached: Vec<(LogStart, u64)> = chains
            .iter()
            .filter_map(|chain| Some((chain.bases.first()?.log?, chain.end?.interval)))
            .collect();
        let is_in = |spans: &[(LogStart, u64)], interval: &LogInterval| {
            let span = interval.span;
            spans
                .iter()
                .any(|(start, end)| start.run == span.run && start.interval <= span.last && span.first < *end)
        };
        let is_new = |times: IntervalTimes| times.to_ms >= now_ms.saturating_sub(GARBAGE_MS);
        let goes = |interval: &&LogInterval| {
            !is_in(&from, interval) && (is_in(&reached, interval) || !is_new(interval.times))
        };
        let gone: Vec<LogInterval> = self.intervals.values().filter(goes).copied().collect();
        let mut pruned = self.pruned_by(bases, &from, &gone, cut);
        let stay: BTreeSet<K> = needed.union(kept).copied().collect();
        let living = self.living_runs(bases, &stay, &gone);
        let marks = self.stale_marks(&living, &pruned, cut);
        let is_told = |run| {
            living.contains(&run)
                || self.heads(run).any(|(head, to)| !marks.contains(&LogMark::Head(head, to)))
        };
        pruned.retain(|start| is_told(start.run));
        let gone_by_number: BTreeMap<(RunId, u64), u64> =
            gone.iter().map(|one| ((one.span.run, one.span.first), one.span.last)).collect();
        let lies_in_one = |merged: &&LogInterval| {
            let span = merged.span;
            let around = gone_by_number.range((span.run, 0)..=(span.run, span.first)).next_back();
            around.is_some_and(|(_, last)| span.last <= *last)
        };
        // Else they would be there again.
        let mut removed: Vec<LogInterval> = self.merged.iter().filter(lies_in_one).copied().collect();
        removed.extend(gone);
        RetainedLog { needed, removed, unfinished: self.unfinished.clone(), pruned, marks }
    }

    /// Below which numbers nothing of a run is needed any more: what begins the oldest that is, or lies behind all of it.
    fn pruned_by<K: Copy>(
        &self,
        bases: &[LogBase<K>],
        from: &[(LogStart, u64)],
        removed: &[LogInterval],
        cut: i64,
    ) -> Vec<LogStart> {
        let mut below: BTreeMap<RunId, u64> = BTreeMap::new();
        let mut behind = |run: RunId, number: u64| {
            let below = below.entry(run).or_default();
            *below = (*below).max(number);
        };
        removed.iter().for_each(|interval| behind(interval.span.run, interval.span.last + 1));
        for base in bases.iter().filter(|base| base.time_ms < cut) {
            let shipped = base.shipped.into_iter();
            shipped.for_each(|span| behind(span.run, span.last + 1));
        }
        for mark in &self.marks {
            match mark {
                LogMark::Head(span, to_ms) if *to_ms < cut => behind(span.run, span.last + 1),
                LogMark::Head(..) | LogMark::Pruned(_) => {}
            }
        }
        for (start, _) in from {
            below.entry(start.run).and_modify(|below| *below = (*below).min(start.interval));
        }
        let is_new = |(run, interval): &(RunId, u64)| *interval > self.pruned_below(*run);
        below.into_iter().filter(is_new).map(|(run, interval)| LogStart { run, interval }).collect()
    }

    /// The runs of which something stays.
    fn living_runs<K: Copy + Ord>(
        &self,
        bases: &[LogBase<K>],
        stay: &BTreeSet<K>,
        gone: &[LogInterval],
    ) -> BTreeSet<RunId> {
        let gone: BTreeSet<(RunId, u64)> = gone.iter().map(|one| (one.span.run, one.span.first)).collect();
        let left = self.intervals.keys().filter(|key| !gone.contains(key)).map(|(run, _)| *run);
        let staying = bases.iter().filter(|base| stay.contains(&base.name));
        let named = staying.flat_map(|base| {
            base.log.map(|start| start.run).into_iter().chain(base.shipped.map(|span| span.run))
        });
        left.chain(named).collect()
    }

    fn heads(&self, run: RunId) -> impl Iterator<Item = (LogSpan, i64)> {
        self.marks.iter().filter_map(move |mark| match mark {
            LogMark::Head(span, to_ms) if span.run == run => Some((*span, *to_ms)),
            LogMark::Head(..) | LogMark::Pruned(_) => None,
        })
    }

    /// Marks that tell nothing any more, and those that another one says too.
    fn stale_marks(&self, living: &BTreeSet<RunId>, pruned: &[LogStart], cut: i64) -> Vec<LogMark> {
        let below = |run: RunId| {
            let new = pruned.iter().find(|start| start.run == run);
            new.map_or_else(|| self.pruned_below(run), |start| start.interval)
        };
        let is_stale = |mark: &&LogMark| match mark {
            LogMark::Head(span, to_ms) => {
                let is_in =
                    |other: LogSpan| other != *span && other.first <= span.first && span.last <= other.last;
                let is_old = *to_ms < cut && (span.last < below(span.run) || !living.contains(&span.run));
                is_old || self.heads(span.run).any(|(other, _)| is_in(other))
            }
            LogMark::Pruned(start) => {
                let tells_nothing = !living.contains(&start.run) && self.heads(start.run).next().is_none();
                start.interval < below(start.run) || tells_nothing
            }
        };
        self.marks.iter().filter(is_stale).copied().collect()
    }
}
