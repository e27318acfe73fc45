//! The mark of a run: an empty file `run-<run>` in the data directory, or `run-<run>.<control_seq>` once it has ended in order. Whoever
//! copies an older state over the folder (`cp -a OLD/. DIR/`) leaves it there, although every file that the copy has is of one
//! time and looks as it did then: names that a copy does not have are not removed by it (OPR-31).

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use ferry_core::lineage::Sign;
use ferry_types::RunId;

/// What its name begins with.
const PREFIX: &str = "run-";

/// A mark that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunMark {
    run: RunId,
    /// The newest commit of `control.db` when the run ended in order.
    ended: Option<u64>,
}

impl RunMark {
    /// Of a run that serves.
    pub(crate) const fn running(run: RunId) -> Self {
        Self { run, ended: None }
    }

    /// Of one that ended.
    pub(crate) const fn ended(run: RunId, control_seq: u64) -> Self {
        Self { run, ended: Some(control_seq) }
    }

    fn name(self) -> String {
        match self.ended {
            None => format!("{PREFIX}{}", self.run),
            Some(control_seq) => format!("{PREFIX}{}.{control_seq}", self.run),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let text = name.strip_prefix(PREFIX)?;
        let mark = match text.split_once('.') {
            None => Self::running(text.parse().ok()?),
            Some((run, control_seq)) => Self::ended(run.parse().ok()?, control_seq.parse().ok()?),
        };
        (mark.name() == name).then_some(mark)
    }

    /// All that lie in `dir`.
    fn all(dir: &Path) -> io::Result<Vec<Self>> {
        let mut marks = Vec::new();
        for entry in dir.read_dir()? {
            marks.extend(entry?.file_name().to_str().and_then(Self::parse));
        }
        Ok(marks)
    }

    /// What the marks in `dir` show of a `control.db` that names these runs, up to the commit `control_seq`.
    pub(crate) fn sign(dir: &Path, runs: &HashSet<RunId>, control_seq: u64) -> io::Result<Option<Sign>> {
        let is_later =
            |mark: &Self| !runs.contains(&mark.run) || mark.ended.is_some_and(|seq| seq > control_seq);
        Ok(Self::all(dir)?.iter().any(is_later).then_some(Sign::LaterMark))
    }

    /// Makes it in `dir`, in the place of all others.
    pub(crate) fn leave(self, dir: &Path) -> io::Result<()> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(self.name()))?;
        ferry_sqlite::folder::sync(dir)?;
        for other in Self::all(dir)?.into_iter().filter(|other| *other != self) {
            fs::remove_file(dir.join(other.name()))?;
        }
        ferry_sqlite::folder::sync(dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPR-31
    #[test]
    fn a_mark_that_control_db_does_not_reach_shows_an_older_state() {
        let dir = tempfile::tempdir().unwrap();
        let known = HashSet::from([RunId(1), RunId(2)]);
        let sign = |seq| RunMark::sign(dir.path(), &known, seq).unwrap();
        for name in
            ["run-", "run-1", "run-0000000000000003x", "run-0000000000000003.", "run-0000000000000003.1.2"]
        {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(sign(5), None, "nobody's");
        RunMark::running(RunId(1)).leave(dir.path()).unwrap();
        RunMark::running(RunId(2)).leave(dir.path()).unwrap();
        assert_eq!((sign(5), RunMark::all(dir.path()).unwrap().len()), (None, 1));
        RunMark::ended(RunId(2), 9).leave(dir.path()).unwrap();
        assert_eq!((sign(9), sign(8)), (None, Some(Sign::LaterMark)));
        RunMark::running(RunId(3)).leave(dir.path()).unwrap();
        assert_eq!(sign(9), Some(Sign::LaterMark));
    }
}
