//! What failures of SQL and of engines mean to a function, and to its run.

use ferry_functions::{DbFailure, SqlFailure};
use ferry_sqlite::tracked::StatementFailure;
use ferry_types::Reason;

use super::{PlannedCall, Writes, end::CallEnd, progress::CallProgress};

/// What SQLite says of a value that is longer than its limit.
const TOO_BIG: &str = "string or blob too big";

/// What a failure of SQL means to the function.
pub(super) fn failed(
    plan: &PlannedCall,
    progress: &mut CallProgress,
    failure: StatementFailure,
) -> DbFailure {
    let text = failure.to_string();
    match failure {
        StatementFailure::NeedsWriter => needs_writer(plan, progress),
        StatementFailure::Constraint(text) => DbFailure::Thrown(SqlFailure::Constraint, text),
        StatementFailure::Prohibited(text) => DbFailure::Thrown(SqlFailure::Prohibited, text),
        StatementFailure::Limit(limit) => {
            let end = progress.resources.end().unwrap_or(CallEnd::Limit(limit));
            abort(progress, end)
        }
        StatementFailure::StorageFull => {
            abort(progress, CallEnd::Refused(ferry_sqlite::Error::storage_full()))
        }
        StatementFailure::Sql(_) if text.contains(TOO_BIG) => {
            let told = "TOO_LARGE: SQL takes no text and no blob over 16777216 bytes.".to_owned();
            DbFailure::Thrown(SqlFailure::Told, told)
        }
        StatementFailure::Sql(_) => DbFailure::Thrown(SqlFailure::Sql, text),
    }
}

/// An engine refused, or failed.
pub(super) fn engine_failed(progress: &mut CallProgress, error: ferry_sqlite::Error) -> DbFailure {
    if error.is_storage_full() {
        return abort(progress, CallEnd::Refused(ferry_sqlite::Error::storage_full()));
    }
    let refusal = error.into_refusal();
    if refusal.reason == Reason::Internal {
        return abort(progress, CallEnd::Refused(refusal));
    }
    let prefix = if refusal.reason == Reason::AlreadyExists { "CONFLICT" } else { "INVALID" };
    DbFailure::Thrown(SqlFailure::Told, format!("{prefix}: {}", refusal.message))
}

/// A call writes where it cannot.
pub(super) fn needs_writer(plan: &PlannedCall, progress: &mut CallProgress) -> DbFailure {
    // A function that catches the refusal has made its result of who asked, and how.
    progress.depends_on_caller();
    let told = |text: &str| DbFailure::Thrown(SqlFailure::Told, text.to_owned());
    match plan.writes {
        Writes::Allowed => abort(progress, CallEnd::NeedsWriter),
        Writes::Query => told("FORBIDDEN: query functions cannot write."),
        Writes::Credential => {
            told("FORBIDDEN: this credential only reads: use one with the operation write.")
        }
        Writes::Hook => told("FORBIDDEN: of all hooks only onPushed writes."),
        Writes::Get => abort(progress, CallEnd::WriteByGet),
        Writes::Gate => abort(progress, CallEnd::WriteByGate),
    }
}

pub(super) fn abort(progress: &mut CallProgress, end: CallEnd) -> DbFailure {
    progress.end.get_or_insert(end);
    DbFailure::Abort
}
