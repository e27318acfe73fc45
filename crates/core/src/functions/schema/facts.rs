//! What must be known of the rows to plan: how many there are.

use super::model::ColumnType;
use crate::{sql::Sql, sql_text::identifier};

/// Counts over the rows of a database.
#[derive(Debug)]
pub struct Facts<'a, S> {
    sql: &'a S,
    /// Tables are taken to hold rows, whatever they hold: nothing else is known of these.
    assumes_rows: bool,
}

impl<'a, S> Facts<'a, S> {
    /// Of the rows that are there.
    pub const fn of(sql: &'a S) -> Self {
        Self { sql, assumes_rows: false }
    }

    /// Of rows that are elsewhere: a migration file is written before anybody knows which databases it will meet.
    pub const fn assuming_rows(sql: &'a S) -> Self {
        Self { sql, assumes_rows: true }
    }
}

impl<S: Sql> Facts<'_, S> {
    /// Rows of a table.
    pub(super) fn rows(&self, table: &str) -> Result<u64, S::Error> {
        if self.assumes_rows { Ok(1) } else { self.count(table, "1") }
    }

    /// Rows of a table with a value in a column.
    pub(super) fn values(&self, table: &str, column: &str) -> Result<u64, S::Error> {
        self.count(table, &format!("{} IS NOT NULL", identifier(column)))
    }

    /// Rows of a table without a value in a column.
    pub(super) fn nulls(&self, table: &str, column: &str) -> Result<u64, S::Error> {
        self.count(table, &format!("{} IS NULL", identifier(column)))
    }

    /// Rows of a table that fulfil a condition.
    pub(super) fn count(&self, table: &str, condition: &str) -> Result<u64, S::Error> {
        let text = format!("SELECT count(*) FROM {} WHERE {condition}", identifier(table));
        let found = self.sql.first(&text, &[], |row| Ok(row.integer(0)?))?;
        Ok(found.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }
}

/// SQL that is true for a row whose value in a column is another one as `kind` (FUN-66): what comes back from there is not
/// what was, to the letter.
pub(super) fn loses(column: &str, kind: ColumnType) -> String {
    let value = identifier(column);
    let back = |by: &str, to: &str| format!("CAST(CAST({value} AS {by}) AS {to}) IS {value}");
    let whole = format!("({value} = CAST({value} AS INTEGER) AND abs({value}) < 9007199254740992)");
    let keeps = match kind {
        ColumnType::Integer => {
            format!(
                "CASE typeof({value}) WHEN 'integer' THEN 1 WHEN 'real' THEN {whole} WHEN 'text' THEN {} ELSE 0 END",
                back("INTEGER", "TEXT")
            )
        }
        ColumnType::Real => format!(
            "CASE typeof({value}) WHEN 'real' THEN 1 WHEN 'integer' THEN {} WHEN 'text' THEN {} OR (CAST(CAST({value} AS INTEGER) AS TEXT) IS {value} AND abs(CAST({value} AS INTEGER)) < 9007199254740992) ELSE 0 END",
            back("REAL", "INTEGER"),
            back("REAL", "TEXT")
        ),
        ColumnType::Numeric => format!(
            "CASE typeof({value}) WHEN 'integer' THEN 1 WHEN 'real' THEN 1 WHEN 'text' THEN {} OR {} ELSE 0 END",
            back("INTEGER", "TEXT"),
            back("REAL", "TEXT")
        ),
        ColumnType::Text => format!(
            "CASE typeof({value}) WHEN 'text' THEN 1 WHEN 'integer' THEN {} WHEN 'real' THEN {} ELSE 0 END",
            back("TEXT", "INTEGER"),
            back("TEXT", "REAL")
        ),
        ColumnType::Blob => format!(
            "CASE typeof({value}) WHEN 'blob' THEN 1 WHEN 'text' THEN {} ELSE 0 END",
            back("BLOB", "TEXT")
        ),
    };
    format!("{value} IS NOT NULL AND NOT ({keeps})")
}
