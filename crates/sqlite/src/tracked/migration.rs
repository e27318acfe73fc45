//! The statements of migrations.

use std::ffi::c_int;

use super::{
    SqlLimit, StatementFailure,
    text::{SqlToken, SqlTokens, check},
    tracker::Guarded,
};
use crate::{
    NativeSql,
    ffi::{self, SqlProgress},
};

/// Steps of SQLite's virtual machine between two questions whether a migration may go on: a few milliseconds.
const STEPS_PER_QUESTION: c_int = 100_000;

/// Runs one statement of a migration, inside the transaction that is open. It may change the schema, but for what is the
/// engines', and returns how many rows it changed. `may_go_on` is asked now and then; once it says no, the statement's whole
/// transaction is over.
///
/// # Errors
/// Why it failed, in SQLite's words, or that no migration may run it.
pub fn run_migration(
    sql: NativeSql<'_>,
    text: &str,
    may_go_on: &mut dyn FnMut() -> bool,
) -> Result<u64, StatementFailure> {
    check(text)?;
    if SqlTokens::of(text).all(|token| token == SqlToken::Semicolon) {
        return Ok(0);
    }
    let connection = sql.0;
    let tracker = ffi::tracker(connection)?;
    tracker.renew_catalog(connection)?;
    let before = connection.total_changes();
    let guard = tracker.guard(Guarded::Migration);
    let mut is_over = false;
    let mut next = || {
        is_over |= !may_go_on();
        if is_over { SqlProgress::Stop } else { SqlProgress::GoOn }
    };
    let done = ffi::with_progress(connection, STEPS_PER_QUESTION, &mut next, || {
        let mut statement = connection.prepare(text)?;
        let mut rows = statement.raw_query();
        while rows.next()?.is_some() {}
        Ok(())
    });
    if is_over {
        return Err(StatementFailure::Limit(SqlLimit::Cpu));
    }
    done.map_err(|error: rusqlite::Error| guard.explain(error))?;
    Ok(connection.total_changes() - before)
}
