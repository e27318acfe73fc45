//! Intervals that were on the target and are not any more. Numbers have no holes but where a target was away for too long, and
//! nothing tells from those alone which hole is which, nor that the last of all is gone. So what was there is stated: by each
//! snapshot, and in between by a mark beside the log. Whatever is stated and neither there nor pruned was lost.

use std::collections::BTreeSet;

use ferry_types::RunId;

use super::{
    contents::{LogBase, LogContents},
    names::{LogMark, LogSpan, LogStart},
};

/// Intervals that were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostIntervals {
    /// Which ones.
    pub span: LogSpan,
    /// The end of the last that is there before them, in Unix milliseconds.
    pub after_ms: Option<i64>,
    /// The beginning of the first that is there behind them.
    pub before_ms: Option<i64>,
}

impl LogContents {
    /// What is missing that was there, as these snapshots and the marks tell.
    #[must_use]
    pub fn lost<K>(&self, bases: &[LogBase<K>]) -> Vec<LostIntervals> {
        let heads = self.marks.iter().filter_map(|mark| match mark {
            LogMark::Head(span, _) => Some(*span),
            LogMark::Pruned(_) => None,
        });
        let mut stated: Vec<LogSpan> = heads.chain(bases.iter().filter_map(|base| base.shipped)).collect();
        let starts: BTreeSet<LogStart> = bases.iter().filter_map(|base| base.log).collect();
        stated.extend(starts.iter().filter_map(|start| self.unexplained(*start, &starts)));
        stated.sort_unstable();
        let (mut lost, mut done): (Vec<LostIntervals>, Option<LogSpan>) = (Vec::new(), None);
        for span in stated {
            let floor = self.pruned_below(span.run);
            let first = match done {
                Some(done) if done.run == span.run => span.first.max(done.last + 1),
                _ => span.first,
            };
            self.missing(LogSpan { first: first.max(floor), ..span }, &mut lost);
            let last = done.filter(|done| done.run == span.run).map_or(0, |done| done.last);
            done = Some(LogSpan { last: span.last.max(last), ..span });
        }
        lost
    }

    /// The intervals that lie between what follows a snapshot and what lies there behind it, if no other snapshot begins there.
    fn unexplained(&self, start: LogStart, starts: &BTreeSet<LogStart>) -> Option<LogSpan> {
        let end = LogStart { interval: self.end_of(start), ..start };
        let next = self.behind(end.run, end.interval)?.span.first;
        let begins = starts.range(end..).find(|begins| **begins > end);
        let is_explained = begins.is_some_and(|begins| begins.run == end.run && begins.interval <= next);
        (!is_explained).then(|| LogSpan { run: end.run, first: end.interval, last: next - 1 })
    }

    /// Below which number a prune may have removed what a run had.
    #[must_use]
    pub fn pruned_below(&self, run: RunId) -> u64 {
        let below = self.marks.iter().filter_map(|mark| match mark {
            LogMark::Pruned(start) if start.run == run => Some(start.interval),
            LogMark::Pruned(_) | LogMark::Head(..) => None,
        });
        below.max().unwrap_or(0)
    }

    /// Adds those of these intervals that are not there.
    fn missing(&self, LogSpan { run, first, last }: LogSpan, lost: &mut Vec<LostIntervals>) {
        let mut number = first;
        while number <= last {
            if let Some(there) = self.interval(run, number) {
                number = there.span.last + 1;
                continue;
            }
            let next = self.behind(run, number);
            let until = next.map_or(last, |next| last.min(next.span.first - 1));
            let before = number.checked_sub(1).and_then(|before| self.interval(run, before));
            lost.push(LostIntervals {
                span: LogSpan { run, first: number, last: until },
                after_ms: before.map(|before| before.times.to_ms),
                before_ms: next.filter(|next| next.span.first == until + 1).map(|next| next.times.from_ms),
            });
            number = until + 1;
        }
    }
}
