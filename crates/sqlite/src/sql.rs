//! The engines' view of a native connection.

use ferry_core::sql::{Damaged, Each, Row, Sql, Value};
use rusqlite::{
    Connection,
    types::{ToSql, ToSqlOutput, ValueRef},
};

use crate::{Error, Result};

/// A connection as the engines see it: inside one transaction, or on one read snapshot.
#[derive(Clone, Copy)]
pub struct NativeSql<'a>(pub &'a Connection);

impl<'a> NativeSql<'a> {
    /// Runs `work` inside one read transaction: it sees one snapshot, whatever is committed meanwhile.
    ///
    /// # Errors
    /// What `work` or SQLite reports. The transaction is over then too, unless SQLite cannot end it.
    pub fn snapshot<T>(connection: &'a Connection, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let sql = Self(connection);
        sql.begin_snapshot()?;
        let result = work(&sql);
        sql.end_snapshot()?;
        result
    }

    /// Begins a read transaction. Its snapshot is taken by the first read.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn begin_snapshot(&self) -> Result<()> {
        self.0.prepare_cached("BEGIN")?.execute([])?;
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn end_snapshot(&self) -> Result<()> {
        // After some failures SQLite has ended it by itself.
        if !self.0.is_autocommit() {
            self.0.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }
}

/// A value as it is bound.
pub(crate) struct Parameter<'a>(pub(crate) Value<'a>);

impl ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(value) => ValueRef::Integer(value),
            Value::Real(value) => ValueRef::Real(value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

/// A row as engines and functions see it.
pub(crate) struct NativeRow<'a>(pub(crate) &'a rusqlite::Row<'a>);

impl Row for NativeRow<'_> {
    fn value(&self, column: usize) -> Value<'_> {
        match self.0.get_ref(column) {
            Err(_) | Ok(ValueRef::Null) => Value::Null,
            Ok(ValueRef::Integer(value)) => Value::Integer(value),
            Ok(ValueRef::Real(value)) => Value::Real(value),
            // SQLite does not check that text is UTF-8; what is not is shown as the bytes it is.
            Ok(ValueRef::Text(value)) => std::str::from_utf8(value).map_or(Value::Blob(value), Value::Text),
            Ok(ValueRef::Blob(value)) => Value::Blob(value),
        }
    }
}

impl From<Damaged> for Error {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged.to_string())
    }
}

impl Sql for NativeSql<'_> {
    type Error = Error;

    fn execute(&self, sql: &str, parameters: &[Value<'_>]) -> Result<usize> {
        let parameters = rusqlite::params_from_iter(parameters.iter().copied().map(Parameter));
        Ok(self.0.prepare_cached(sql)?.execute(parameters)?)
    }

    fn execute_rows(&self, sql: &str, columns: usize, values: &[Value<'_>]) -> Result<()> {
        let mut statement = self.0.prepare_cached(sql)?;
        for row in values.chunks_exact(columns) {
            statement.execute(rusqlite::params_from_iter(row.iter().copied().map(Parameter)))?;
        }
        Ok(())
    }

    fn query(&self, sql: &str, parameters: &[Value<'_>], each: &mut Each<'_, Error>) -> Result<()> {
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows =
            statement.query(rusqlite::params_from_iter(parameters.iter().copied().map(Parameter)))?;
        while let Some(row) = rows.next()? {
            if each(&NativeRow(row))?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_together_is_of_one_commit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.db");
        let writer = crate::connection::open_writer(&path).unwrap();
        writer.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (1)").unwrap();
        let reader = crate::connection::open_reader(&path).unwrap();
        let read = |sql: &NativeSql<'_>| {
            let sum = "SELECT sum(x) FROM t";
            let before = sql.first(sum, &[], |row| Ok(row.integer(0)?))?;
            writer.execute("INSERT INTO t VALUES (10)", [])?;
            Ok((before, sql.first(sum, &[], |row| Ok(row.integer(0)?))?))
        };
        assert_eq!(NativeSql::snapshot(&reader, read).unwrap(), (Some(1), Some(1)));
        let refused = NativeSql::snapshot(&reader, |_| Err::<(), _>(ferry_types::Error::internal().into()));
        assert!(refused.is_err() && reader.is_autocommit(), "a refusal ends the snapshot too");
        assert_eq!(NativeSql::snapshot(&reader, read).unwrap(), (Some(11), Some(11)));
    }

    #[test]
    fn every_class_of_value_comes_back_as_it_was_given() {
        let connection = Connection::open_in_memory().unwrap();
        let sql = NativeSql(&connection);
        sql.execute("CREATE TABLE t(a, b, c, d, e)", &[]).unwrap();
        let row =
            [Value::Null, i64::MIN.into(), Value::Real(0.5), "\u{0}text".into(), [0_u8, 255][..].into()];
        assert_eq!(sql.execute("INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5)", &row).unwrap(), 1);
        let same = sql.first("SELECT * FROM t", &[], |stored| {
            Ok((0..row.len()).all(|column| stored.value(column) == row[column]))
        });
        assert_eq!(same.unwrap(), Some(true));
        let wrong = sql.first("SELECT b FROM t", &[], |stored| Ok(stored.text(0)?.to_owned()));
        assert!(matches!(wrong, Err(Error::Damaged(_))));
        let none = sql.first("SELECT b FROM t WHERE b = 0", &[], |stored| Ok(stored.integer(0)?));
        assert_eq!(none.unwrap(), None);
    }
}
