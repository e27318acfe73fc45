//! What a database that the hub writes tells of itself, and whether it goes on from what clients have seen (OPR-31, OPR-35).
//! It stands in `_ferry_meta`: the run of its newest commit, and the number of its last break.

use ferry_protocol::records::UnixNanos;
use ferry_types::{RunId, Seq};

use crate::{
    records::{RecordMaintenance as _, sqlite::SqliteRecords},
    sql::{Sql, Value},
};

/// Under which key the run of the newest commit stands.
const RUN: &str = "run";
/// And the number of the last break that the file was given.
const BREAK: &str = "break";

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileLineage {
    /// The run of its newest commit; `None`: a program that names none made it.
    pub run: Option<RunId>,
    /// Its newest commit.
    pub seq: Seq,
    /// The number of its last break; 0: it has had none.
    pub break_number: i64,
}

/// What is known of the file outside of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownFile {
    /// The number of the last break that it should have been given.
    pub break_number: i64,
    /// The newest commit that is known of, and its run.
    pub position: Option<(RunId, Seq)>,
}

/// What becomes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileVerdict {
    /// It goes on.
    Fits,
    /// It lacks a break, which has this number.
    LacksBreak(i64),
    /// It was put back by itself, for this reason.
    Older(&'static str),
}

impl FileLineage {
    /// Reads it; `None`: there is nothing of the hub's in the file.
    ///
    /// # Errors
    /// What storage reports.
    pub fn read<S: Sql>(sql: &S) -> Result<Option<Self>, S::Error> {
        let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_ferry_meta'";
        if sql.first(table, &[], |_| Ok(()))?.is_none() {
            return Ok(None);
        }
        let mut found = Self::default();
        let text = "SELECT key, value FROM _ferry_meta WHERE key IN ('seq', 'run', 'break')";
        sql.query(text, &[], &mut |row| {
            match (row.text(0)?, row.value(1)) {
                (RUN, Value::Text(run)) => found.run = run.parse().ok(),
                (BREAK, Value::Integer(number)) => found.break_number = number,
                (_, Value::Integer(seq)) => found.seq = Seq(u64::try_from(seq).unwrap_or(0)),
                _ => {}
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        Ok(Some(found))
    }

    /// What becomes of a file that says so, where `known` is known of it. `when` is the place of a run among those that
    /// `control.db` names.
    #[must_use]
    pub fn judge(&self, known: &KnownFile, when: impl Fn(RunId) -> Option<u64>) -> FileVerdict {
        if self.break_number < known.break_number {
            return FileVerdict::LacksBreak(known.break_number);
        }
        let at = self.run.map(&when);
        if at == Some(None) {
            return FileVerdict::Older("it has commits of a run that control.db does not know");
        }
        let Some((run, seq)) = known.position else { return FileVerdict::Fits };
        if self.seq < seq {
            return FileVerdict::Older("it lacks commits that were acknowledged");
        }
        // As far, but written at another time: of two files with one number only one is what clients have seen.
        if at.flatten().is_some_and(|at| when(run).is_some_and(|run| at < run)) {
            return FileVerdict::Older("its newest commit is older than the one that was acknowledged last");
        }
        FileVerdict::Fits
    }
}

/// What a file that goes on is given with its first commit of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileNote {
    /// The run.
    pub run: RunId,
    /// Its place among all, by which they follow one another.
    pub place: u64,
    /// The newest break of any file: this one lacks none, be it new or looked at.
    pub break_number: i64,
}

impl FileNote {
    /// The newest commit of records before the first commit of the run, looked up in the transaction of that commit before it
    /// writes anything; `None`: the file has no records, or commits of this run already.
    ///
    /// # Errors
    /// What storage reports.
    pub fn newest_records<S: Sql>(&self, sql: &S) -> Result<Option<UnixNanos>, S::Error> {
        let text = "SELECT 1 FROM _ferry_meta WHERE key = 'run' AND value = ?1";
        if sql.first(text, &[(&*self.run.to_string()).into()], |_| Ok(()))?.is_some() {
            return Ok(None);
        }
        let records = SqliteRecords::new(sql);
        if records.is_outdated()? { Ok(None) } else { records.newest_commit() }
    }

    /// Notes it, in the transaction of the commit. `newest_records`: as [`Self::newest_records`] found.
    ///
    /// # Errors
    /// What storage reports.
    pub fn write<S: Sql>(&self, sql: &S, newest_records: Option<UnixNanos>) -> Result<(), S::Error> {
        note_run(sql, self.run)?;
        if let Some(newest) = newest_records {
            SqliteRecords::new(sql).note_run(self.place, newest)?;
        }
        if self.break_number > 0 {
            note_break(sql, self.break_number)?;
        }
        Ok(())
    }
}

/// Notes that the newest commit is of `run`, in the transaction of a commit.
///
/// # Errors
/// What storage reports.
pub fn note_run<S: Sql>(sql: &S, run: RunId) -> Result<(), S::Error> {
    let text = "INSERT INTO _ferry_meta(key, value) VALUES ('run', ?1)
                ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value";
    sql.execute(text, &[(&*run.to_string()).into()]).map(drop)
}

/// Notes that the file has been given the break `number`, and all before it.
///
/// # Errors
/// What storage reports.
pub fn note_break<S: Sql>(sql: &S, number: i64) -> Result<(), S::Error> {
    let text = "INSERT INTO _ferry_meta(key, value) VALUES ('break', ?1)
                ON CONFLICT DO UPDATE SET value = excluded.value WHERE value < excluded.value";
    sql.execute(text, &[number.into()]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPR-31, OPR-33, OPR-35
    #[test]
    fn a_file_is_judged_by_breaks_then_runs_then_positions() {
        // Runs 1 to 5, in order.
        let when = |run: RunId| (1..=5).contains(&run.0).then_some(run.0);
        let found = |run, seq, break_number| FileLineage { run, seq: Seq(seq), break_number };
        let known = |break_number, position: Option<(u64, u64)>| KnownFile {
            break_number,
            position: position.map(|(run, seq)| (RunId(run), Seq(seq))),
        };
        let (three, nine) = (Some(RunId(3)), Some(RunId(9)));
        let fits = [
            (found(None, 7, 0), known(0, None)),
            (found(None, 7, 0), known(0, Some((2, 7)))),
            (found(three, 7, 0), known(0, Some((3, 7)))),
            (found(three, 8, 2), known(2, Some((2, 5)))),
            // A position of a run that is not known says how far the file was, and no more.
            (found(three, 8, 3), known(2, Some((9, 8)))),
        ];
        for (found, known) in fits {
            assert_eq!(found.judge(&known, when), FileVerdict::Fits, "{found:?} {known:?}");
        }
        for (found, known) in [
            (found(three, 6, 0), known(0, Some((3, 7)))),
            (found(None, 6, 0), known(0, Some((3, 7)))),
            (found(nine, 7, 0), known(0, None)),
            (found(three, 7, 0), known(0, Some((4, 7)))),
        ] {
            assert!(matches!(found.judge(&known, when), FileVerdict::Older(_)), "{found:?} {known:?}");
        }
        let lacks = found(nine, 6, 4).judge(&known(5, Some((3, 7))), when);
        assert_eq!(lacks, FileVerdict::LacksBreak(5), "one break, whatever else shows");
    }
}
