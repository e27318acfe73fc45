//! The statements of migrations.

use super::{
    StatementFailure,
    text::{SqlToken, SqlTokens, check},
    tracker::Guarded,
};
use crate::{NativeSql, ffi};

/// Runs one statement of a migration, inside the transaction that is open. It may change the schema, but for what is the
/// engines', and returns how many rows it changed.
///
/// # Errors
/// Why it failed, in SQLite's words, or that no migration may run it.
pub fn run_migration(sql: NativeSql<'_>, text: &str) -> Result<u64, StatementFailure> {
    check(text)?;
    if SqlTokens::of(text).all(|token| token == SqlToken::Semicolon) {
        return Ok(0);
    }
    let connection = sql.0;
    let tracker = ffi::tracker(connection)?;
    tracker.renew_catalog(connection)?;
    let before = connection.total_changes();
    let guard = tracker.guard(Guarded::Migration);
    let done = connection.prepare(text).and_then(|mut statement| {
        let mut rows = statement.raw_query();
        while rows.next()?.is_some() {}
        Ok(())
    });
    done.map_err(|error| guard.explain(error))?;
    Ok(connection.total_changes() - before)
}
