//! What a call's end means to its caller.

use ferry_functions::{CallFailure, Limit, ThrownClass};
use ferry_sqlite::tracked::SqlLimit;

use super::{
    call::{CallDone, CallEnd},
    refusal::CallRefusal,
};
use crate::config::FunctionsConfig;

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
        CallFailure::Died => CallRefusal::new(match done.wrote {
            true => "UNAVAILABLE: the process that ran this action ended; what it had committed stays.",
            false => {
                "UNAVAILABLE: the process that ran this call ended; the call changed nothing. Try again."
            }
        }),
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
    match end {
        Some(CallEnd::WriteByGet | CallEnd::WriteByGate) => CallRefusal::writes(function),
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
        Some(CallEnd::NeedsWriter | CallEnd::Restart | CallEnd::LongInGroup | CallEnd::OpenStore(_))
        | None => CallRefusal::internal("Internal error"),
    }
}
