//! A database, and functions' statements on it.

use ferry_core::sql::{Row, Value};
use ferry_sqlite::{
    NativeSql,
    tracked::{SqlAccess, SqlLimits, StatementDone, StatementFailure, TrackedRows, TrackedRun},
};
use rusqlite::Connection;

/// Keeps all rows.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Rows {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// Rows after which it wants no more.
    pub(crate) wanted: Option<usize>,
}

impl TrackedRows for Rows {
    fn columns(&mut self, names: &[&str]) {
        self.columns = names.iter().map(|name| (*name).to_owned()).collect();
    }

    fn row(&mut self, row: &dyn Row) -> bool {
        self.rows.push((0..self.columns.len()).map(|column| shown(row.value(column))).collect());
        self.wanted.is_none_or(|wanted| self.rows.len() < wanted)
    }
}

fn shown(value: Value<'_>) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Integer(value) => value.to_string(),
        Value::Real(value) => format!("{value:?}"),
        Value::Text(value) => value.to_owned(),
        Value::Blob(value) => format!("{value:?}"),
    }
}

/// A database in memory with these tables.
pub(crate) fn database(schema: &str) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(schema).unwrap();
    connection
}

/// A run that has all the time it wants.
pub(crate) fn run(access: SqlAccess) -> TrackedRun {
    TrackedRun::new(access, SqlLimits::default(), || true)
}

pub(crate) fn execute(
    run: &mut TrackedRun,
    connection: &Connection,
    text: &str,
) -> Result<StatementDone, StatementFailure> {
    run.execute(NativeSql(connection), text, &[], &mut Rows::default())
}

/// What a call has read that runs this alone.
pub(crate) fn reads(connection: &Connection, text: &str) -> Vec<String> {
    let mut run = run(SqlAccess::Alone);
    execute(&mut run, connection, text).unwrap_or_else(|failure| panic!("{text}: {failure}"));
    names(run.reads())
}

/// What a call has written that runs this alone.
pub(crate) fn writes(connection: &Connection, text: &str) -> Vec<String> {
    let mut run = run(SqlAccess::Alone);
    execute(&mut run, connection, text).unwrap_or_else(|failure| panic!("{text}: {failure}"));
    names(run.written())
}

/// Why a call fails that runs this alone.
pub(crate) fn failure(connection: &Connection, text: &str) -> StatementFailure {
    execute(&mut run(SqlAccess::Alone), connection, text).expect_err(text)
}

pub(crate) fn names(names: &[std::sync::Arc<str>]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
