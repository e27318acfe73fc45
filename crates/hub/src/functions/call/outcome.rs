//! The outcome of a call: what its answer names, and what of it is stored.

use ferry_core::functions::live::TableNames;
use ferry_functions::{CallFailure, FunctionKind, FunctionOutcome, ThrownClass, Used};
use ferry_protocol::functions::table_hashes;
use ferry_sqlite::tracked::StatementFailure;
use serde::{Deserialize, Serialize};

/// What a failure of SQL at the end of a call makes of it.
pub(in crate::functions) fn failed(failure: &StatementFailure) -> CallFailure {
    let class = match failure {
        StatementFailure::Constraint(_) => ThrownClass::Constraint,
        _ => ThrownClass::Internal,
    };
    CallFailure::Thrown { class, message: failure.to_string(), stack: String::new() }
}

/// The outcome of a call that did not come to its end.
pub(in crate::functions) fn gone() -> FunctionOutcome {
    FunctionOutcome {
        result: Err(CallFailure::Aborted),
        ended_at: String::new(),
        log: Vec::new(),
        warnings: Vec::new(),
        subscribe_to: Vec::new(),
        invalidate: Vec::new(),
        used: Used::default(),
        cpu_us: 0,
    }
}

/// The hashes that an answer names (FUN-22).
pub(in crate::functions) fn answer_tables(
    wrote: bool,
    kind: FunctionKind,
    (reads, selected, written): (&TableNames, &TableNames, &TableNames),
    outcome: &FunctionOutcome,
) -> Vec<String> {
    let tables: Vec<&str> = match (wrote, kind) {
        (false, _) => reads.iter().map(|table| &**table).collect(),
        (true, FunctionKind::Mutation) => written.iter().map(|table| &**table).collect(),
        (true, _) => selected.iter().chain(written.iter()).map(|table| &**table).collect(),
    };
    let named = outcome.subscribe_to.iter().chain(&outcome.invalidate).map(String::as_str);
    table_hashes(tables.into_iter().chain(named))
}

/// What of an answer is stored under its key.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::functions) struct StoredBody {
    /// None, or one.
    pub(in crate::functions) data: Vec<Box<serde_json::value::RawValue>>,
    pub(in crate::functions) tables: Vec<String>,
    pub(in crate::functions) warnings: Vec<String>,
}

/// The text that is stored for an answer.
pub(in crate::functions) fn stored(
    outcome: &FunctionOutcome,
    selected: &TableNames,
    written: &TableNames,
    kind: FunctionKind,
) -> String {
    let data = outcome.result.as_ref().ok().and_then(Option::as_ref);
    let data = data.and_then(|data| serde_json::value::RawValue::from_string(data.clone()).ok());
    let data = data.into_iter().collect();
    let tables = answer_tables(true, kind, (selected, selected, written), outcome);
    let body = StoredBody { data, tables, warnings: outcome.warnings.clone() };
    serde_json::to_string(&body).expect("BUG: strings are JSON")
}
