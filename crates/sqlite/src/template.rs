//! A database in memory of which new files are made: the first group of requests of each runs here, and what it leaves is
//! written as a file, whole. That saves a new database its WAL and two waits for the disk, and since statements stay parsed
//! from one database to the next, most of the work.

use std::path::Path;

use ferry_core::lineage::FileNote;

use crate::{Applied, NativeSql, Result, Transaction, Writer};

/// One that has grown beyond this many bytes is not used again: it would keep the memory.
const KEPT_MAX_BYTES: u64 = 1024 * 1024;

/// A database that holds nothing but empty tables.
pub struct TemplateDatabase {
    writer: Writer,
    is_fit: bool,
}

impl TemplateDatabase {
    /// One with the tables that `make` makes.
    ///
    /// # Errors
    /// What `make` reports.
    pub fn with(make: impl FnOnce(&NativeSql<'_>) -> Result<()>) -> Result<Self> {
        Ok(Self { writer: Writer::in_memory(make)?, is_fit: true })
    }

    /// Runs the first group of a database, as [`Writer::run_group`] does, and notes `note`. What it leaves is on disk
    /// at `path`, where no file was, when this returns; nothing is there if every request failed.
    pub fn run_group<R, E>(
        &mut self,
        (path, note): (&Path, Option<FileNote>),
        requests: &mut [R],
        apply: impl FnMut(&mut R, &mut Transaction<'_, E>) -> Result<()>,
    ) -> Vec<Result<Applied<E>>> {
        self.is_fit = false;
        let answers = self.writer.run_first_group((path, note), requests, apply);
        let bytes = path.metadata().map_or(0, |file| file.len());
        self.is_fit = self.writer.connection().is_autocommit() && bytes <= KEPT_MAX_BYTES;
        answers
    }

    /// Whether another group may run in it.
    #[must_use]
    pub const fn is_fit(&self) -> bool {
        self.is_fit
    }
}

#[cfg(test)]
mod tests {
    use ferry_types::Seq;
    use rusqlite::Connection;

    use super::*;
    use crate::Error;

    type Request = (i64, bool);

    fn apply(request: &mut Request, transaction: &mut Transaction<'_, ()>) -> Result<()> {
        transaction.connection().prepare_cached("INSERT INTO t VALUES (?1)")?.execute([request.0])?;
        if request.1 { Ok(()) } else { Err(Error::Refused(ferry_types::Error::internal())) }
    }

    fn template() -> TemplateDatabase {
        TemplateDatabase::with(|sql| Ok(sql.0.execute_batch("CREATE TABLE t(x INTEGER PRIMARY KEY)")?))
            .unwrap()
    }

    fn rows(path: &Path) -> Vec<i64> {
        let connection = Connection::open(path).unwrap();
        let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        let mut statement = connection.prepare("SELECT x FROM t ORDER BY x").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect()
    }

    #[test]
    fn a_group_becomes_a_file_and_leaves_nothing_for_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut template = template();
        for (name, requests) in [("a", vec![(1, true), (2, false), (3, true)]), ("b", vec![(7, true)])] {
            let path = dir.path().join(name).join("main.db");
            let mut group = requests.clone();
            let answers = template.run_group((&path, None), &mut group, apply);
            let taken: Vec<_> =
                answers.into_iter().map(|answer| answer.ok().and_then(|applied| applied.seq)).collect();
            let mut next = 0..;
            let expected: Vec<_> =
                requests.iter().map(|(_, good)| good.then(|| Seq(next.next().unwrap() + 1))).collect();
            assert_eq!(taken, expected);
            let good: Vec<i64> = requests.iter().filter(|(_, good)| *good).map(|(x, _)| *x).collect();
            assert_eq!(rows(&path), good);
            assert!(template.is_fit());
            let mut writer = Writer::open(&path).unwrap();
            assert_eq!(writer.seq(), Seq(good.len() as u64));
            assert!(writer.run_group(&mut [(9, true)], apply)[0].is_ok());
        }
    }

    #[test]
    fn a_group_that_failed_makes_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.db");
        for requests in [vec![(1, false)], vec![(1, false), (2, false)]] {
            assert!(
                template().run_group((&path, None), &mut requests.clone(), apply).iter().all(Result::is_err)
            );
            assert!(!path.exists());
        }
    }

    #[test]
    fn one_that_has_grown_is_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.db");
        let mut template = template();
        let answers =
            template.run_group((&path, None), &mut [()], |(), transaction: &mut Transaction<'_, ()>| {
                let big = "CREATE TABLE big AS SELECT zeroblob(2000000) AS x";
                Ok(transaction.connection().execute_batch(big)?)
            });
        assert!(answers[0].is_ok() && !template.is_fit());
    }
}
