//! Statements of the application's, run one by one.

use super::{failure::MigrationFailure, sample};
use crate::sql::Sql;

/// Runs a statement of the application's to its end: what it may not touch is refused. `Ok(Err(…))`: what SQLite says
/// against it.
pub type RunStatement<'a, E> = dyn FnMut(&str) -> Result<Result<(), String>, E> + 'a;

/// Runs statements until one fails.
pub(super) fn statements<S: Sql>(
    sql: &S,
    run: &mut RunStatement<'_, S::Error>,
    statements: &[String],
) -> Result<Result<(), MigrationFailure>, S::Error> {
    for statement in statements {
        if let Err(message) = run(statement)? {
            let rows = sample::of_failure(sql, &message)?;
            let failure =
                MigrationFailure { sql: Some(statement.clone()), rows, ..MigrationFailure::new(message) };
            return Ok(Err(failure));
        }
    }
    Ok(Ok(()))
}
