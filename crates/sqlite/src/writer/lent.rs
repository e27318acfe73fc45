//! A writer that is lent: one transaction that stays open between pieces of work.

use ferry_types::Seq;

use super::{Applied, Transaction, Writer, transaction_undone};
use crate::{Error, Result};

/// A writer with a transaction of its own.
pub struct LentWriter<E> {
    writer: Writer,
    effects: Vec<E>,
    /// Rows that the connection had changed when the transaction began.
    changes_before: u64,
}

impl Writer {
    /// Begins a transaction that stays open until it is committed or rolled back.
    ///
    /// # Errors
    /// What SQLite reports, with the writer as it was.
    #[expect(clippy::result_large_err, reason = "the writer comes back")]
    pub fn lend<E>(self) -> Result<LentWriter<E>, (Self, Error)> {
        match self.run("BEGIN IMMEDIATE") {
            Ok(()) => {
                let changes_before = self.connection.total_changes();
                Ok(LentWriter { writer: self, effects: Vec::new(), changes_before })
            }
            Err(error) => Err((self, error)),
        }
    }
}

impl<E> LentWriter<E> {
    /// The number that the transaction takes if it changes anything.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.writer.seq.next()
    }

    /// Does a part of the work. Nothing of it is undone because it failed.
    ///
    /// # Errors
    /// That of `work`; or that SQLite has ended the transaction.
    pub fn run<T>(&mut self, work: impl FnOnce(&mut Transaction<'_, E>) -> Result<T>) -> Result<T> {
        if self.writer.connection.is_autocommit() {
            return Err(transaction_undone());
        }
        let effects = std::mem::take(&mut self.effects);
        let mut transaction =
            Transaction { connection: &self.writer.connection, seq: self.writer.seq.next(), effects };
        let result = work(&mut transaction);
        self.effects = transaction.effects;
        result
    }

    /// Commits. What was done is on disk when this returns, or undone. The writer comes back unless its transaction could
    /// not be ended.
    pub fn commit(self) -> (Option<Writer>, Result<Applied<E>>) {
        let Self { mut writer, effects, changes_before } = self;
        if writer.connection.is_autocommit() {
            return (Some(writer), Err(transaction_undone()));
        }
        let is_changed = writer.connection.total_changes() != changes_before || !effects.is_empty();
        let seq = if is_changed { writer.seq.next() } else { writer.seq };
        if let Err(error) = writer.commit(seq) {
            return (rolled_back(writer), Err(error));
        }
        writer.seq = seq;
        if is_changed {
            writer.unnoted = None;
        }
        (Some(writer), Ok(Applied { seq: is_changed.then_some(seq), effects }))
    }

    /// Undoes what was done. The writer comes back unless its transaction could not be ended.
    #[must_use]
    pub fn roll_back(self) -> Option<Writer> {
        rolled_back(self.writer)
    }
}

fn rolled_back(writer: Writer) -> Option<Writer> {
    if writer.connection.is_autocommit() {
        return Some(writer);
    }
    match writer.run("ROLLBACK") {
        Ok(()) => Some(writer),
        Err(error) => {
            tracing::error!(%error, "a transaction could not be rolled back: its database is opened anew");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(dir: &tempfile::TempDir) -> Writer {
        let mut writer = Writer::open(&dir.path().join("main.db")).unwrap();
        writer.connection().execute_batch("CREATE TABLE IF NOT EXISTS t(x INTEGER PRIMARY KEY)").unwrap();
        writer
    }

    fn lent(writer: Writer) -> LentWriter<u8> {
        writer.lend().map_err(|(_, error)| error).unwrap()
    }

    fn insert(lent: &mut LentWriter<u8>, value: i64) -> Result<()> {
        lent.run(|transaction| {
            transaction.connection().execute("INSERT INTO t VALUES (?1)", [value])?;
            transaction.effect(7);
            Ok(())
        })
    }

    fn count(writer: &mut Writer) -> i64 {
        writer.connection().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn parts_are_committed_together_and_take_one_seq() {
        let dir = tempfile::tempdir().unwrap();
        let mut lent = lent(writer(&dir));
        assert_eq!(lent.seq(), Seq(1));
        insert(&mut lent, 1).unwrap();
        assert!(insert(&mut lent, 1).is_err(), "a part that failed undoes nothing else");
        insert(&mut lent, 2).unwrap();
        let (writer, applied) = lent.commit();
        let mut writer = writer.unwrap();
        assert_eq!(applied.unwrap(), Applied { seq: Some(Seq(1)), effects: vec![7, 7] });
        assert_eq!((writer.seq(), count(&mut writer)), (Seq(1), 2));
        let (writer, applied) = super::tests::lent(writer).commit();
        assert_eq!(applied.unwrap(), Applied { seq: None, effects: vec![] }, "nothing was changed");
        assert_eq!(writer.unwrap().seq(), Seq(1));
    }

    #[test]
    fn what_is_rolled_back_leaves_the_writer_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mut lent = lent(writer(&dir));
        insert(&mut lent, 1).unwrap();
        let mut writer = lent.roll_back().unwrap();
        assert_eq!((writer.seq(), count(&mut writer)), (Seq(0), 0));
    }

    #[test]
    fn a_transaction_that_sqlite_ended_is_not_committed() {
        let dir = tempfile::tempdir().unwrap();
        let mut lent = lent(writer(&dir));
        insert(&mut lent, 1).unwrap();
        lent.run(|transaction| Ok(transaction.connection().execute_batch("ROLLBACK")?)).unwrap();
        assert!(insert(&mut lent, 2).is_err(), "it would be committed at once");
        let (writer, applied) = lent.commit();
        assert!(applied.is_err());
        assert_eq!(count(&mut writer.unwrap()), 0);
    }

    #[test]
    fn a_broken_foreign_key_fails_the_commit_and_gives_the_writer_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(&dir);
        let child = "CREATE TABLE c(x REFERENCES t(x) DEFERRABLE INITIALLY DEFERRED)";
        writer.connection().execute_batch(child).unwrap();
        let mut lent = lent(writer);
        lent.run(|transaction| Ok(transaction.connection().execute_batch("INSERT INTO c VALUES (9)")?))
            .unwrap();
        let (writer, applied) = lent.commit();
        assert!(applied.is_err());
        let mut lent = super::tests::lent(writer.unwrap());
        insert(&mut lent, 1).unwrap();
        assert_eq!(lent.commit().1.unwrap().seq, Some(Seq(1)));
    }
}
