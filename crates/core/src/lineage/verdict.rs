//! What the signs of a data directory come to (OPR-31).

use ferry_types::RunId;

use super::{
    answer::LineageAnswer,
    record::{LineageRecord, LineageState},
};

/// What `control.db` tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlLineage {
    /// Of the hub; `None`: there is no hub yet.
    pub hub_id: Option<String>,
    /// The newest run that it names; `None`: no program that names runs has served from it.
    pub newest: Option<RunId>,
    /// Its newest commit.
    pub seq: u64,
    /// Whether a restore left a break, which no run has begun with.
    pub has_break_left: bool,
}

/// What shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// `ferry backup restore` made the data directory.
    BackupRestored,
    /// The operator said so.
    Told,
    /// The file `lineage` is not there, or holds no whole record.
    NoRecord,
    /// It was made at another time than it says: it is a copy.
    Born,
    /// It is of another run than the newest that `control.db` names.
    OtherRun,
    /// It knows of commits that `control.db` does not have.
    ControlBehind,
    /// A later run has left its mark beside it.
    LaterMark,
    /// A target of backups was written by a run that `control.db` does not know.
    AnchorOfOtherRun,
    /// A target of backups knows of commits that `control.db` does not have.
    BehindAnchor,
}

impl Sign {
    /// What it means, for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BackupRestored => "ferry backup restore made this data directory",
            Self::Told => "the operator said so",
            Self::NoRecord => "the file `lineage` is missing, or cannot be read",
            Self::Born => "the file `lineage` was made at another time than it says: this is a copy",
            Self::OtherRun => "control.db does not know the run that the file `lineage` names",
            Self::ControlBehind => "control.db lacks commits that the file `lineage` knows of",
            Self::LaterMark => "older files were copied over those of a later run, whose mark is left",
            Self::AnchorOfOtherRun => {
                "control.db does not know the run that has last written to a backup target"
            }
            Self::BehindAnchor => "control.db lacks commits that a backup target knows of",
        }
    }
}

/// What the signs come to; later ones are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineageVerdict {
    /// Nothing was served from here yet by a program that names runs.
    First,
    /// The hub goes on from where it was.
    Same,
    /// The operator said that a copy is the hub itself.
    Moved,
    /// It was copied: it is the hub in another place, or an old copy of it. Nothing here tells the two apart.
    Copied(Sign),
    /// It is an older state than clients have seen.
    Restored(Sign),
}

impl LineageVerdict {
    /// What `control` and the newest record of a file that was made at `born_ns` come to.
    #[must_use]
    pub fn of(control: &ControlLineage, record: Option<&LineageRecord>, born_ns: Option<i64>) -> Self {
        if control.has_break_left {
            return Self::Restored(Sign::BackupRestored);
        }
        let Some(newest) = control.newest else { return before_runs(control, record) };
        let Some(record) = record else { return Self::Copied(Sign::NoRecord) };
        // A start that was cut short before `control.db` was told of it has left things as they were.
        let is_unfinished = record.state == LineageState::Starting && record.run != newest;
        let follows = if is_unfinished { record.previous == Some(newest) } else { record.run == newest };
        if !follows {
            return Self::Restored(Sign::OtherRun);
        }
        if record.control_seq > control.seq {
            return Self::Restored(Sign::ControlBehind);
        }
        // What a start that was not cut short found is done.
        let is_due = is_unfinished || record.state == LineageState::Answered;
        let answer = record.answer.filter(|_| is_due);
        if answer == Some(LineageAnswer::Restored) {
            return Self::Restored(Sign::Told);
        }
        if record.born_ns.zip(born_ns).is_some_and(|(then, now)| then != now) {
            return Self::Copied(Sign::Born);
        }
        if answer.is_some() { Self::Moved } else { Self::Same }
    }

    /// The verdict when `sign` shows, too, that clients have seen more: the stronger one counts, and nothing needs to be asked any more.
    #[must_use]
    pub fn with(self, sign: Option<Sign>) -> Self {
        match (self, sign) {
            (Self::Same | Self::Moved | Self::Copied(_), Some(sign)) => Self::Restored(sign),
            _ => self,
        }
    }

    /// The verdict when `answer` is given to the question that a copy asks.
    #[must_use]
    pub const fn answered(self, answer: LineageAnswer) -> Self {
        match (self, answer) {
            (Self::Copied(_), LineageAnswer::Moved) => Self::Moved,
            (Self::Copied(sign), LineageAnswer::Restored) => Self::Restored(sign),
            _ => self,
        }
    }

    /// What a start that goes on with it has to do beside starting.
    #[must_use]
    pub const fn to_do(self) -> Option<LineageAnswer> {
        match self {
            Self::First | Self::Same | Self::Copied(_) => None,
            Self::Moved => Some(LineageAnswer::Moved),
            Self::Restored(_) => Some(LineageAnswer::Restored),
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Same => "same",
            Self::Moved => "moved",
            Self::Copied(_) => "copied",
            Self::Restored(_) => "restored",
        }
    }

    /// What shows it.
    #[must_use]
    pub const fn sign(self) -> Option<Sign> {
        match self {
            Self::First | Self::Same | Self::Moved => None,
            Self::Copied(sign) | Self::Restored(sign) => Some(sign),
        }
    }
}

/// Where `control.db` names no run: it is new, of a program that named none, or was put back from the time of one.
fn before_runs(control: &ControlLineage, record: Option<&LineageRecord>) -> LineageVerdict {
    let is_of_this_hub = |record: &&LineageRecord| control.hub_id.as_deref() == Some(&*record.hub_id);
    match record.filter(is_of_this_hub) {
        Some(record) if record.state == LineageState::Starting && record.previous.is_none() => {
            LineageVerdict::First
        }
        Some(_) => LineageVerdict::Restored(Sign::OtherRun),
        None => LineageVerdict::First,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: &str = "hub";

    fn control(newest: Option<u64>) -> ControlLineage {
        ControlLineage { hub_id: Some(HUB.into()), newest: newest.map(RunId), seq: 10, has_break_left: false }
    }

    fn record(run: u64, state: LineageState) -> LineageRecord {
        LineageRecord {
            serial: 1,
            hub_id: HUB.into(),
            run: RunId(run),
            previous: run.checked_sub(1).filter(|run| *run > 0).map(RunId),
            born_ns: Some(5),
            state,
            answer: None,
            control_seq: 10,
        }
    }

    /// What is done; the newest run of `control.db`, the record, when its file was made; what they come to.
    type SignCase<'a> = (&'a str, Option<u64>, Option<LineageRecord>, Option<i64>, LineageVerdict);

    // Verifies: OPR-31, OPR-32
    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn each_sign_has_its_verdict() {
        use LineageAnswer::{Moved, Restored};
        use LineageState::{Answered, Running, Starting, Stopped};
        use LineageVerdict as Verdict;
        let answered = |state, answer| LineageRecord { answer: Some(answer), ..record(2, state) };
        let behind = LineageRecord { control_seq: 11, ..record(2, Stopped) };
        let no_birth = LineageRecord { born_ns: None, ..record(2, Running) };
        let other_hub = LineageRecord { hub_id: "other".into(), ..record(2, Running) };
        let cases: &[SignCase<'_>] = &[
            ("a new hub", None, None, None, Verdict::First),
            ("its first start was cut short", None, Some(record(1, Starting)), Some(5), Verdict::First),
            ("control.db of a new hub beside an old file", None, Some(other_hub), Some(5), Verdict::First),
            (
                "control.db from before runs were named",
                None,
                Some(record(2, Running)),
                Some(5),
                Verdict::Restored(Sign::OtherRun),
            ),
            ("a restart", Some(2), Some(record(2, Stopped)), Some(5), Verdict::Same),
            ("after kill -9", Some(2), Some(record(2, Running)), Some(5), Verdict::Same),
            (
                "a start cut short before control.db",
                Some(1),
                Some(record(2, Starting)),
                Some(5),
                Verdict::Same,
            ),
            ("and behind it", Some(2), Some(record(2, Starting)), Some(5), Verdict::Same),
            ("no file", Some(2), None, None, Verdict::Copied(Sign::NoRecord)),
            ("a copy", Some(2), Some(record(2, Stopped)), Some(6), Verdict::Copied(Sign::Born)),
            (
                "a copy of a running hub",
                Some(2),
                Some(record(2, Running)),
                Some(6),
                Verdict::Copied(Sign::Born),
            ),
            ("where no birth is told", Some(2), Some(record(2, Stopped)), None, Verdict::Same),
            ("where none was told", Some(2), Some(no_birth), Some(6), Verdict::Same),
            (
                "an older control.db",
                Some(1),
                Some(record(2, Running)),
                Some(5),
                Verdict::Restored(Sign::OtherRun),
            ),
            ("the same", Some(1), Some(record(2, Stopped)), Some(5), Verdict::Restored(Sign::OtherRun)),
            (
                "a much older one",
                Some(1),
                Some(record(3, Starting)),
                Some(5),
                Verdict::Restored(Sign::OtherRun),
            ),
            ("an older file", Some(3), Some(record(2, Stopped)), Some(5), Verdict::Restored(Sign::OtherRun)),
            (
                "control.db of earlier in this run",
                Some(2),
                Some(behind.clone()),
                Some(5),
                Verdict::Restored(Sign::ControlBehind),
            ),
            (
                "the stronger one counts",
                Some(2),
                Some(behind),
                Some(6),
                Verdict::Restored(Sign::ControlBehind),
            ),
            ("told that it moved", Some(2), Some(answered(Answered, Moved)), Some(5), Verdict::Moved),
            (
                "told, and copied again",
                Some(2),
                Some(answered(Answered, Moved)),
                Some(6),
                Verdict::Copied(Sign::Born),
            ),
            (
                "told that it was restored",
                Some(2),
                Some(answered(Answered, Restored)),
                Some(5),
                Verdict::Restored(Sign::Told),
            ),
            (
                "told, and copied",
                Some(2),
                Some(answered(Answered, Restored)),
                Some(6),
                Verdict::Restored(Sign::Told),
            ),
            (
                "cut short with this to do",
                Some(1),
                Some(answered(Starting, Restored)),
                Some(5),
                Verdict::Restored(Sign::Told),
            ),
            ("which was done", Some(2), Some(answered(Starting, Restored)), Some(5), Verdict::Same),
            ("or that", Some(1), Some(answered(Starting, Moved)), Some(5), Verdict::Moved),
        ];
        for (what, newest, record, born, verdict) in cases {
            assert_eq!(Verdict::of(&control(*newest), record.as_ref(), *born), *verdict, "{what}");
        }
        let left = ControlLineage { has_break_left: true, ..control(Some(2)) };
        assert_eq!(Verdict::of(&left, None, None), Verdict::Restored(Sign::BackupRestored));
    }

    // Verifies: OPR-31
    #[test]
    fn what_others_have_seen_is_stronger_than_what_a_copy_asks() {
        let (seen, restored) = (Some(Sign::LaterMark), LineageVerdict::Restored(Sign::OtherRun));
        for weaker in [LineageVerdict::Same, LineageVerdict::Moved, LineageVerdict::Copied(Sign::Born)] {
            assert_eq!(weaker.with(seen), LineageVerdict::Restored(Sign::LaterMark));
            assert_eq!(weaker.with(None), weaker);
        }
        assert_eq!(restored.with(seen), restored);
        assert_eq!(LineageVerdict::First.with(seen), LineageVerdict::First);
    }

    // Verifies: OPR-32
    #[test]
    fn only_a_copy_is_asked_about() {
        use LineageAnswer::{Moved, Restored};
        let copied = LineageVerdict::Copied(Sign::Born);
        assert_eq!(copied.answered(Moved), LineageVerdict::Moved);
        assert_eq!(copied.answered(Restored), LineageVerdict::Restored(Sign::Born));
        for other in [LineageVerdict::First, LineageVerdict::Same, LineageVerdict::Restored(Sign::OtherRun)] {
            assert_eq!((other.answered(Moved), other.answered(Restored)), (other, other));
        }
        assert_eq!((copied.to_do(), LineageVerdict::Moved.to_do()), (None, Some(Moved)));
        assert_eq!(LineageVerdict::Restored(Sign::Born).to_do(), Some(Restored));
    }
}
