//! Why a job failed, in words for the operator and as a label of metrics.

use ferry_backup::Error;

/// A job that failed.
#[derive(Debug)]
pub(crate) struct JobFailure {
    /// Stable UPPER_SNAKE word.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: String,
}

impl JobFailure {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// Whether it was asked to end.
    pub(super) fn is_cancelled(&self) -> bool {
        self.reason == "CANCELLED"
    }
}

impl From<Error> for JobFailure {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::Damaged { .. } => "DAMAGED",
            Error::Foreign(_) => "TARGET_FOREIGN",
            Error::WrongKey(_) => "WRONG_KEY",
            Error::NotFound(_) => "NOT_FOUND",
            Error::Occupied(_) | Error::Invalid(_) => "INVALID_ARGUMENT",
            Error::Busy(_) => "BUSY",
            Error::SpoolFull(_) => "SPOOL_FULL",
            Error::Cancelled => "CANCELLED",
            Error::Io { .. } | Error::Unreachable(_) | Error::Refused(_) => "TARGET_FAILED",
            Error::Sqlite(_) => "DATABASE_FAILED",
        };
        Self::new(reason, error.to_string())
    }
}

impl From<ferry_types::Error> for JobFailure {
    fn from(error: ferry_types::Error) -> Self {
        Self::new(error.reason.as_str(), error.message.into_owned())
    }
}

impl From<ferry_sqlite::Error> for JobFailure {
    fn from(error: ferry_sqlite::Error) -> Self {
        Error::Sqlite(error).into()
    }
}

impl From<std::io::Error> for JobFailure {
    fn from(error: std::io::Error) -> Self {
        ferry_sqlite::Error::from(error).into()
    }
}
