//! Whose history lies on a target, where several hubs have shipped there as one: a copy and its original. Each of them has the target
//! for a while, and what it finds there when it begins is written down in `anchor.json`: so what another one ships afterwards is known
//! to lead to nothing of its own. No clock is asked; runs, numbers and names at the target are (OPR-12).

use std::collections::BTreeMap;

use ferry_types::RunId;
use serde::{Deserialize, Serialize};

use super::{
    contents::{LogContents, LogInterval},
    names::{LogMark, LogObject, LogSpan},
};
use crate::backup::SnapshotId;

/// Tenures that are remembered of those that lead to the owner's, and as many of the others.
const REMEMBERED: usize = 64;

/// While one run has a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetTenure {
    /// Its number; later ones have greater numbers.
    #[serde(rename = "n")]
    pub number: u64,
    /// Whose.
    pub run: RunId,
    /// The one that it goes on from; `None`: none that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// What lay there when the next one began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<TenureEnd>,
}

/// What lay on a target when a tenure ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenureEnd {
    /// The last interval of its run; 0: none.
    pub interval: u64,
    /// The newest snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
}

/// The tenures of a target, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TargetTenures(pub Vec<TargetTenure>);

impl TargetTenures {
    /// Whether nothing is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who has the target.
    #[must_use]
    pub fn newest(&self) -> Option<&TargetTenure> {
        self.0.last()
    }

    /// The last tenure of such a run.
    #[must_use]
    pub fn last_of(&self, is_of: impl Fn(RunId) -> bool) -> Option<u64> {
        self.0.iter().rev().find(|tenure| is_of(tenure.run)).map(|tenure| tenure.number)
    }

    /// `run` takes the target over and goes on from the tenure `after`; what lies there is the `end` of the one that it finds.
    pub fn begin(&mut self, run: RunId, after: Option<u64>, end: TenureEnd) {
        let number = self.newest().map_or(1, |newest| newest.number.saturating_add(1));
        if let Some(newest) = self.0.last_mut() {
            newest.end = Some(end);
        }
        self.0.push(TargetTenure { number, run, after, end: None });
        for leads in [true, false] {
            let path = self.path();
            let mut of_them: Vec<u64> =
                self.0.iter().map(|one| one.number).filter(|one| path.contains(one) == leads).collect();
            of_them.truncate(of_them.len().saturating_sub(REMEMBERED));
            self.0.retain(|tenure| !of_them.contains(&tenure.number));
        }
    }

    /// Those that lead to the newest, itself included.
    fn path(&self) -> Vec<u64> {
        let mut path = Vec::new();
        let mut next = self.newest().map(|newest| newest.number);
        while let Some(tenure) = next.and_then(|number| self.0.iter().find(|one| one.number == number)) {
            path.push(tenure.number);
            // Greater ones would lead in a circle.
            next = tenure.after.filter(|after| *after < tenure.number);
        }
        path
    }

    /// What of the target is the history of its owner.
    #[must_use]
    pub fn history(&self) -> TargetHistory {
        let path = self.path();
        let mut runs = BTreeMap::new();
        for tenure in &self.0 {
            let part = match tenure.end {
                _ if !path.contains(&tenure.number) => RunPart::Nothing,
                Some(end) => RunPart::Until(end),
                // The newest has no end.
                None => RunPart::All,
            };
            // The last tenure of a run that leads to the owner's tells how far the run does.
            if part != RunPart::Nothing || !runs.contains_key(&tenure.run) {
                runs.insert(tenure.run, part);
            }
        }
        TargetHistory(runs)
    }
}

/// How much of what a run left on a target leads to its owner's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunPart {
    All,
    Until(TenureEnd),
    Nothing,
}

/// What of a target is the history of its owner: all that no tenure names, and of those that are named what led to the owner's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetHistory(BTreeMap<RunId, RunPart>);

impl TargetHistory {
    /// Whether a snapshot that this run took is of it.
    #[must_use]
    pub fn has_snapshot(&self, run: Option<RunId>, id: SnapshotId) -> bool {
        match run.and_then(|run| self.0.get(&run)) {
            None | Some(RunPart::All) => true,
            Some(RunPart::Until(end)) => end.snapshot.is_some_and(|newest| id <= newest),
            Some(RunPart::Nothing) => false,
        }
    }

    /// Up to which interval a run is of it.
    fn last_of(&self, run: RunId) -> u64 {
        match self.0.get(&run) {
            None | Some(RunPart::All) => u64::MAX,
            Some(RunPart::Until(end)) => end.interval,
            Some(RunPart::Nothing) => 0,
        }
    }
}

impl LogContents {
    /// What of it is of this history.
    #[must_use]
    pub fn of_history(mut self, history: &TargetHistory) -> Self {
        let has = |span: LogSpan| span.last <= history.last_of(span.run);
        self.intervals.retain(|_, interval: &mut LogInterval| has(interval.span));
        self.merged.retain(|interval| has(interval.span));
        self.unfinished.retain(|object: &LogObject| has(object.span));
        let marks = std::mem::take(&mut self.marks).into_iter();
        self.marks = marks
            .filter_map(|mark| match mark {
                LogMark::Head(head, to_ms) => {
                    let last = head.last.min(history.last_of(head.run));
                    (head.first <= last).then_some(LogMark::Head(LogSpan { last, ..head }, to_ms))
                }
                LogMark::Pruned(_) => Some(mark),
            })
            .collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use ferry_types::UnixMillis;

    use super::*;

    const A: RunId = RunId(0x0101_0101_0101_0101);
    const B: RunId = RunId(0x0202_0202_0202_0202);

    fn snapshot(second: i64) -> SnapshotId {
        SnapshotId::new(UnixMillis(second * 1000), 0)
    }

    fn end(interval: u64) -> TenureEnd {
        TenureEnd { interval, snapshot: Some(snapshot(i64::try_from(interval).unwrap())) }
    }

    fn reach(tenures: &TargetTenures) -> [u64; 2] {
        let history = tenures.history();
        let reach = [A, B].map(|run| history.last_of(run));
        for (run, last) in [A, B].into_iter().zip(reach) {
            assert_eq!(history.has_snapshot(Some(run), snapshot(1_000)), last == u64::MAX, "{tenures:?}");
            assert_eq!(history.has_snapshot(Some(run), snapshot(1)), last != 0, "{tenures:?}");
        }
        reach
    }

    // Verifies: OPR-12
    #[test]
    fn each_hub_that_takes_a_target_goes_on_from_its_own_tenure() {
        let mut tenures = TargetTenures::default();
        tenures.begin(A, None, TenureEnd::default());
        assert_eq!(reach(&tenures), [u64::MAX; 2]);
        // The copy takes it, the original goes on from what it had; and so on.
        tenures.begin(B, Some(1), end(10));
        assert_eq!(reach(&tenures), [10, u64::MAX], "what the original still ships is none of the copy's");
        tenures.begin(A, Some(1), end(20));
        assert_eq!(reach(&tenures), [u64::MAX, 0]);
        tenures.begin(B, Some(2), end(30));
        assert_eq!(reach(&tenures), [10, u64::MAX]);
        tenures.begin(A, tenures.last_of(|run| run == A), end(40));
        assert_eq!(reach(&tenures), [u64::MAX, 0]);
        assert!(tenures.history().has_snapshot(None, snapshot(1)), "what nobody knows of");
        let text = serde_json::to_string(&tenures).unwrap();
        assert_eq!(serde_json::from_str::<TargetTenures>(&text).unwrap(), tenures);
    }

    // Verifies: OPR-12
    #[test]
    fn a_history_has_the_log_of_its_runs_alone() {
        let mut tenures = TargetTenures::default();
        tenures.begin(A, None, TenureEnd::default());
        tenures.begin(B, Some(1), end(2));
        let object = |run, number| {
            let times = super::super::names::IntervalTimes { from_ms: 1, to_ms: 2 };
            LogObject { span: LogSpan::of(run, number), part: 0, times: Some(times) }.to_string()
        };
        let mut paths: Vec<String> =
            [(A, 1), (A, 2), (A, 3), (B, 1), (B, 2)].map(|(run, number)| object(run, number)).into();
        paths.push(LogMark::Head(LogSpan { run: A, first: 1, last: 3 }, 2).to_string());
        let contents = LogContents::of(paths.iter().map(|path| &**path));
        let numbers = |contents: &LogContents| {
            contents.intervals().map(|one| (one.span.run, one.span.last)).collect::<Vec<_>>()
        };
        let of_copy = contents.clone().of_history(&tenures.history());
        assert_eq!(numbers(&of_copy), [(A, 1), (A, 2), (B, 1), (B, 2)]);
        assert_eq!(of_copy.lost::<u32>(&[]), [], "what is left out is not lost");
        tenures.begin(A, Some(1), end(2));
        assert_eq!(numbers(&contents.of_history(&tenures.history())), [(A, 1), (A, 2), (A, 3)]);
    }

    #[test]
    fn the_oldest_tenures_are_forgotten() {
        let mut tenures = TargetTenures::default();
        for number in 0..500 {
            tenures.begin(A, (number > 0).then_some(number), end(number));
        }
        assert_eq!(tenures.0.len(), REMEMBERED);
        assert_eq!(tenures.newest().unwrap().number, 500);
        assert!(serde_json::to_vec(&tenures).unwrap().len() < 12 << 10);
    }
}
