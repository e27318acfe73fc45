//! Why a statement of a function failed, as the function is told or its run needs to know.

use rusqlite::ErrorCode;

use crate::Error;

/// Why a statement did not do what was asked. Shown it is SQLite's own text, or a line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementFailure {
    /// It writes, and runs on a snapshot. Nothing of it has run.
    #[error("this statement writes, and here nothing can be written")]
    NeedsWriter,
    /// A constraint of a table, in SQLite's words: `UNIQUE constraint failed: users.email`.
    #[error("{0}")]
    Constraint(String),
    /// What no function may do: `access to _ferry_meta is prohibited`.
    #[error("{0}")]
    Prohibited(String),
    /// A limit was reached.
    #[error("{0}")]
    Limit(SqlLimit),
    /// The disk is full or failing.
    #[error("the hub's disk is full or failing: free space on it, then try again")]
    StorageFull,
    /// Anything else, in SQLite's words, which may name tables and columns.
    #[error("{0}")]
    Sql(String),
}

/// A limit of the SQL of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlLimit {
    /// Statements.
    #[error("a function may run {0} SQL statements: this one ran more")]
    Statements(u64),
    /// Rows.
    #[error("a function may read {0} rows: this one read more")]
    Rows(u64),
    /// CPU.
    #[error("the function has used up its CPU time")]
    Cpu,
}

impl StatementFailure {
    pub(super) fn prohibited(name: &str) -> Self {
        Self::Prohibited(format!("access to {name} is prohibited"))
    }

    pub(super) fn schema_change(statement: &str) -> Self {
        Self::Prohibited(format!("schema changes belong in a migration: a function cannot run {statement}"))
    }

    /// What SQLite reported, in its own words, without the statement.
    pub(super) fn of(error: rusqlite::Error) -> Self {
        let (code, text) = match error {
            rusqlite::Error::SqliteFailure(error, text) => {
                let text = text.unwrap_or_else(|| error.to_string());
                (error.code, text)
            }
            rusqlite::Error::SqlInputError { error, msg, .. } => (error.code, msg),
            rusqlite::Error::MultipleStatement => {
                return Self::Sql("several statements at once: run them one by one".into());
            }
            other => return Self::Sql(other.to_string()),
        };
        match code {
            ErrorCode::ConstraintViolation => Self::Constraint(text),
            ErrorCode::OperationInterrupted => Self::Limit(SqlLimit::Cpu),
            ErrorCode::DiskFull | ErrorCode::SystemIoFailure => Self::StorageFull,
            _ => Self::Sql(text),
        }
    }
}

impl From<rusqlite::Error> for StatementFailure {
    fn from(error: rusqlite::Error) -> Self {
        Self::of(error)
    }
}

impl From<Error> for StatementFailure {
    fn from(error: Error) -> Self {
        match error {
            Error::Sqlite(error) => Self::of(error),
            error if error.is_storage_full() => Self::StorageFull,
            error => Self::Sql(error.to_string()),
        }
    }
}
