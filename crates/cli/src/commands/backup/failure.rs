//! Failures of backups as the command line tells them (OPR-10, exit codes of section 2.1).

use ferry_backup::Error;
use ferry_client::{ClientError, ClientErrorCode};
use ferry_types::Code;

use crate::failure::Failure;

/// The family of a failure that is known by its word.
fn code(reason: &str) -> ClientErrorCode {
    match reason {
        "DAMAGED" => ClientErrorCode::Unverified,
        "TARGET_FOREIGN"
        | "TARGET_TAKEN"
        | "TARGET_REFUSED"
        | "OCCUPIED"
        | "FAILED_PRECONDITION"
        | "WRONG_KIND" => ClientErrorCode::Table(Code::FailedPrecondition),
        "NOT_FOUND" => ClientErrorCode::Table(Code::NotFound),
        "INVALID_ARGUMENT" | "WRONG_KEY" => ClientErrorCode::Table(Code::InvalidArgument),
        "ALREADY_EXISTS" => ClientErrorCode::Table(Code::AlreadyExists),
        "BUSY" | "UNREACHABLE" => ClientErrorCode::Table(Code::Unavailable),
        _ => ClientErrorCode::Failed,
    }
}

/// What failed at a target.
pub(super) fn of(error: &Error) -> Failure {
    let reason = match error {
        Error::Damaged { .. } => "DAMAGED",
        Error::Foreign(_) => "TARGET_FOREIGN",
        Error::WrongKey(_) => "WRONG_KEY",
        Error::Occupied(_) => "OCCUPIED",
        Error::NotFound(_) => "NOT_FOUND",
        Error::Invalid(_) => "INVALID_ARGUMENT",
        Error::Busy(_) => "BUSY",
        Error::SpoolFull(_) => "SPOOL_FULL",
        Error::Unreachable(_) => "UNREACHABLE",
        Error::Refused(_) => "TARGET_REFUSED",
        Error::Cancelled => return Failure::Interrupted(None),
        Error::Io { .. } | Error::Sqlite(_) => "FAILED",
    };
    of_reason(reason, error.to_string())
}

/// What failed in a job of a hub.
pub(super) fn of_reason(reason: &str, message: String) -> Failure {
    Failure::Client(ClientError::new(code(reason), reason, message))
}
