//! What a call's end means to its caller.

use ferry_core::functions::live::Tables;
use ferry_functions::{CallFailure, CallOutcome, FunctionKind, Limit, ThrownClass, Used};
use ferry_protocol::functions::{ErrorCode, status_of, table_hashes};
use ferry_sqlite::tracked::StatementFailure;
use ferry_types::{Error, Reason};
use serde::{Deserialize, Serialize};

use super::call::{CallDone, CallEnd};
use crate::config::FunctionsConfig;

/// A refusal, as callers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallRefusal {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    pub(super) retry_after_ms: Option<u64>,
    /// The methods that the function takes, where it was called by another one.
    pub(super) allow: Option<&'static str>,
}

impl CallRefusal {
    pub(super) fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        let code = status_of(&message);
        let retry_after_ms = matches!(code.status, 429 | 503).then_some(1000);
        Self { code, message, retry_after_ms, allow: None }
    }

    fn internal(message: &str) -> Self {
        Self { code: ErrorCode { status: 500, code: "INTERNAL" }, ..Self::new(message) }
    }

    /// A GET of what writes (FUN-03).
    pub(super) fn writes(function: &str) -> Self {
        let message = format!("METHOD_NOT_ALLOWED: Function \"{function}\" writes; call it with POST.");
        let code = ErrorCode { status: 405, code: "METHOD_NOT_ALLOWED" };
        Self { code, message, retry_after_ms: None, allow: Some("POST") }
    }
}

impl CallRefusal {
    /// Another method than the one that the path takes.
    pub(super) fn method(allow: &'static str) -> Self {
        let code = ErrorCode { status: 405, code: "METHOD_NOT_ALLOWED" };
        Self {
            code,
            message: "METHOD_NOT_ALLOWED: call it with another method.".to_owned(),
            retry_after_ms: None,
            allow: Some(allow),
        }
    }
}

/// What the hub refuses, in the words of this wire.
impl From<Error> for CallRefusal {
    fn from(error: Error) -> Self {
        let prefix = match error.reason {
            Reason::PermissionDenied | Reason::WrongPurpose => "FORBIDDEN",
            Reason::NotFound => "NOT_FOUND",
            Reason::WrongKind => {
                return Self { code: status_of("CONFLICT:"), ..Self::new("CONFLICT: WRONG_KIND") };
            }
            Reason::RateLimited | Reason::ByteBudget => "RATE_LIMITED",
            Reason::TooLarge => "TOO_LARGE",
            Reason::Busy | Reason::Unavailable | Reason::ShuttingDown | Reason::StorageFull => "UNAVAILABLE",
            Reason::SeqNotReached => {
                let code = ErrorCode { status: 503, code: "SEQ_NOT_REACHED" };
                let retry_after_ms = error.retry_after_ms.or(Some(1000));
                return Self {
                    code,
                    message: format!("UNAVAILABLE: {}", error.message),
                    retry_after_ms,
                    allow: None,
                };
            }
            Reason::InvalidArgument => "INVALID",
            Reason::Unauthenticated | Reason::TokenExpired | Reason::TokenRevoked => "UNAUTHORIZED",
            Reason::Internal => return Self::internal("Internal error"),
            _ => "CONFLICT",
        };
        let refusal = Self::new(format!("{prefix}: {}", error.message));
        Self { retry_after_ms: error.retry_after_ms.or(refusal.retry_after_ms), ..refusal }
    }
}

/// What a call without a result is told.
pub(super) fn refusal_of(
    done: &CallDone,
    failure: &CallFailure,
    function: &str,
    config: &FunctionsConfig,
    is_dev: bool,
) -> CallRefusal {
    match failure {
        CallFailure::Thrown { class: ThrownClass::Function, message, .. } => {
            CallRefusal::new(message.clone())
        }
        CallFailure::Thrown { class: ThrownClass::Constraint, message, .. } => {
            CallRefusal::new(format!("CONFLICT: {message}"))
        }
        CallFailure::Thrown { class: ThrownClass::Internal, message, stack } => {
            if is_dev {
                let whole = format!("{message}\n{stack}");
                return CallRefusal::internal(whole.trim_end());
            }
            CallRefusal::internal("Internal error")
        }
        CallFailure::Limit(limit) => limited(*limit, config),
        CallFailure::Aborted => ended(done.end.as_ref(), function, config),
    }
}

fn limited(limit: Limit, config: &FunctionsConfig) -> CallRefusal {
    match limit {
        Limit::Cpu => {
            CallRefusal::new(format!("TIMEOUT: function used more than {} ms of CPU.", config.cpu_ms))
        }
        Limit::Memory => CallRefusal::internal("Function exceeded its memory limit."),
        Limit::Stack => CallRefusal::internal("Function exceeded its stack limit."),
        Limit::Result => {
            CallRefusal::new(format!("TOO_LARGE: result over {} bytes.", config.result_max_bytes))
        }
        Limit::NeverSettles => {
            CallRefusal::new("TIMEOUT: function waits for a promise that nothing will settle.")
        }
    }
}

fn ended(end: Option<&CallEnd>, function: &str, config: &FunctionsConfig) -> CallRefusal {
    use ferry_sqlite::tracked::SqlLimit;
    match end {
        Some(CallEnd::WriteByGet) => CallRefusal::writes(function),
        Some(CallEnd::Conflict) => CallRefusal::new("CONFLICT: data read before fetch() has changed; retry."),
        Some(CallEnd::Limit(SqlLimit::Cpu)) => limited(Limit::Cpu, config),
        Some(CallEnd::Limit(SqlLimit::Statements(_))) => CallRefusal::internal(&format!(
            "Function ran more than {} SQL statements (functions.max_statements).",
            config.max_statements
        )),
        Some(CallEnd::Limit(SqlLimit::Rows(_))) => CallRefusal::internal(&format!(
            "Function stepped through more than {} rows (functions.max_rows).",
            config.max_rows
        )),
        Some(CallEnd::HeldTooLong) => CallRefusal::new(format!(
            "TIMEOUT: function waited more than {} ms while holding the database; call fetch() before writing.",
            config.hold_ms
        )),
        Some(CallEnd::RanTooLong) => {
            CallRefusal::new(format!("TIMEOUT: function ran longer than {} ms.", config.wall_ms))
        }
        Some(CallEnd::Refused(error)) => error.clone().into(),
        Some(CallEnd::OtherCallOfKey) => CallRefusal::new(
            "CONFLICT: this Idempotency-Key was used for another function or other arguments; take a new one.",
        ),
        Some(CallEnd::NeedsWriter | CallEnd::Restart | CallEnd::WriteByGate | CallEnd::OpenStore(_))
        | None => CallRefusal::internal("Internal error"),
    }
}

/// What a failure of SQL at the end of a call makes of it.
pub(super) fn failed(failure: &StatementFailure) -> CallFailure {
    let class = match failure {
        StatementFailure::Constraint(_) => ThrownClass::Constraint,
        _ => ThrownClass::Internal,
    };
    CallFailure::Thrown { class, message: failure.to_string(), stack: String::new() }
}

/// The outcome of a call that did not come to its end.
pub(super) fn gone() -> CallOutcome {
    CallOutcome {
        result: Err(CallFailure::Aborted),
        log: Vec::new(),
        warnings: Vec::new(),
        subscribe_to: Vec::new(),
        invalidate: Vec::new(),
        used: Used::default(),
        cpu_us: 0,
    }
}

/// The hashes that an answer names (FUN-22).
pub(super) fn answer_tables(
    wrote: bool,
    kind: FunctionKind,
    (reads, selected, written): (&Tables, &Tables, &Tables),
    outcome: &CallOutcome,
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
pub(super) struct StoredBody {
    /// None, or one.
    pub(super) data: Vec<Box<serde_json::value::RawValue>>,
    pub(super) tables: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// The text that is stored for an answer.
pub(super) fn stored(
    outcome: &CallOutcome,
    selected: &Tables,
    written: &Tables,
    kind: FunctionKind,
) -> String {
    let data = outcome.result.as_ref().ok().and_then(Option::as_ref);
    let data = data.and_then(|data| serde_json::value::RawValue::from_string(data.clone()).ok());
    let data = data.into_iter().collect();
    let tables = answer_tables(true, kind, (selected, selected, written), outcome);
    let body = StoredBody { data, tables, warnings: outcome.warnings.clone() };
    serde_json::to_string(&body).expect("BUG: strings are JSON")
}
