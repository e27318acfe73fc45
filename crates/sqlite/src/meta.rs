//! What every database of the hub has.

use ferry_types::Seq;
use rusqlite::OptionalExtension as _;

use crate::{NativeSql, Result};

/// The table that every database of the hub has.
pub(crate) const META: &str =
    "CREATE TABLE IF NOT EXISTS _ferry_meta(key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
     INSERT OR IGNORE INTO _ferry_meta VALUES ('seq', 0);";

/// The newest commit that the file behind `sql` shows.
///
/// # Errors
/// When it cannot be read.
pub fn seq_of(sql: &NativeSql<'_>) -> Result<Seq> {
    let select = "SELECT value FROM _ferry_meta WHERE key = 'seq'";
    let value = sql.0.prepare_cached(select)?.query_row([], |row| row.get(0)).optional()?;
    Ok(Seq(value.unwrap_or(0)))
}
