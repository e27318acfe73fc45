//! Columns of `control.db`, read.

use std::str::FromStr;

use ferry_sqlite::{Error, Result};
use rusqlite::Row;

/// Column `index`, read as text and parsed.
///
/// # Errors
/// When the column is of another type or does not parse: the file is damaged.
pub(crate) fn parsed<T: FromStr>(row: &Row<'_>, index: usize) -> Result<T> {
    let text = row.get_ref(index)?.as_str().map_err(|_| damaged(row, index))?;
    text.parse().map_err(|_| damaged(row, index))
}

/// What a column is that does not parse.
pub(crate) fn damaged(row: &Row<'_>, index: usize) -> Error {
    let column = row.as_ref().column_name(index).unwrap_or("?");
    Error::Damaged(format!("column {column} of control.db holds what ferry never writes"))
}

/// A comma-separated column of words.
pub(crate) fn words<T: FromStr, S: FromIterator<T>>(row: &Row<'_>, index: usize) -> Result<S> {
    let text: String = row.get(index)?;
    let damaged = |_| Error::Damaged(format!("rights of a credential: {text}"));
    text.split(',').map(|word| word.parse().map_err(damaged)).collect()
}
