//! What a caller of this crate may see: the hub's refusals as the hub stated them, and our own.

use std::{fmt, io};

use ferry_types::Code;

/// The family of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientErrorCode {
    /// A code of the error table: mostly the hub's, but also ours where the same words fit (a conflict that
    /// we see before the hub does is `FailedPrecondition`).
    Table(Code),
    /// No hub answered.
    Unreachable,
    /// The local file is no plain SQLite database, is busy, or cannot be read or written.
    FileUnusable,
    /// What was received is not what it must be.
    Unverified,
    /// A failure of this machine: disk full, no permission, a damaged file of ours.
    Failed,
}

impl ClientErrorCode {
    /// The word in messages and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table(code) => code.as_str(),
            Self::Unreachable => "unreachable",
            Self::FileUnusable => "file_unusable",
            Self::Unverified => "unverified",
            Self::Failed => "failed",
        }
    }
}

/// Reason of the refusal of a file that another program has locked for too long.
pub const FILE_BUSY: &str = "FILE_BUSY";

/// A failed call: what went wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError {
    /// The family.
    pub code: ClientErrorCode,
    /// Stable UPPER_SNAKE word; empty if there is none.
    pub reason: String,
    /// For people; never holds a secret.
    pub message: String,
    /// The hub's name for the request, to be found in its log.
    pub request_id: Option<String>,
    /// Milliseconds after which a retry may succeed.
    pub retry_after_ms: Option<u64>,
}

/// The result of client work.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

impl ClientError {
    /// A failure of our own.
    pub fn new(code: ClientErrorCode, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            request_id: None,
            retry_after_ms: None,
        }
    }

    /// Hub and file disagree about what comes next (PAG-63, PAG-65).
    pub fn conflict(reason: &str, message: impl Into<String>) -> Self {
        Self::new(ClientErrorCode::Table(Code::FailedPrecondition), reason, message)
    }

    /// An argument is wrong.
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(ClientErrorCode::Table(Code::InvalidArgument), "INVALID_ARGUMENT", message)
    }

    /// The local file cannot be used (exit code 10).
    pub fn file(reason: &str, message: impl Into<String>) -> Self {
        Self::new(ClientErrorCode::FileUnusable, reason, message)
    }

    /// The other side did not keep to the protocol, or what it sent is not what it must be.
    pub fn unverified(message: impl Into<String>) -> Self {
        Self::new(ClientErrorCode::Unverified, "UNVERIFIED", message)
    }

    /// This machine failed while `doing`.
    pub fn io(doing: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(ClientErrorCode::Failed, "IO", format!("{doing}: {error}"))
    }

    /// SQLite failed while `doing`; busy and unreadable files are the file's failure, the rest this machine's.
    pub fn sqlite(doing: impl fmt::Display, error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Sqlite;
        match error.sqlite_error_code() {
            Some(Sqlite::DatabaseBusy | Sqlite::DatabaseLocked) => Self::file(
                FILE_BUSY,
                format!("{doing}: the file is locked by another program; close it there, then try again"),
            ),
            Some(Sqlite::NotADatabase) => {
                Self::file("NOT_SQLITE", format!("{doing}: not a plain SQLite database (encrypted?)"))
            }
            Some(Sqlite::DatabaseCorrupt) => Self::file(
                "FILE_DAMAGED",
                format!("{doing}: SQLite finds the file damaged; check it with PRAGMA integrity_check"),
            ),
            Some(Sqlite::CannotOpen | Sqlite::ReadOnly | Sqlite::PermissionDenied) => {
                Self::file("FILE_UNUSABLE", format!("{doing}: {error}"))
            }
            _ => Self::new(ClientErrorCode::Failed, "SQLITE", format!("{doing}: {error}")),
        }
    }

    /// A step of Ferry's storage library failed while `doing`.
    pub fn store(doing: impl fmt::Display, error: &ferry_sqlite::Error) -> Self {
        match error {
            ferry_sqlite::Error::Sqlite(error) => Self::sqlite(doing, error),
            ferry_sqlite::Error::Io(error) => Self::io(doing, error),
            other => Self::new(ClientErrorCode::Failed, "STORAGE", format!("{doing}: {other}")),
        }
    }

    /// Whether the hub refused the credential itself, so that a fresh one may help.
    #[must_use]
    pub fn is_unauthenticated(&self) -> bool {
        self.code == ClientErrorCode::Table(Code::Unauthenticated)
    }
}

/// `<message> (<code>, request <id>)` (CLI-01).
impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.message, self.code.as_str())?;
        if let Some(id) = &self.request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for ClientError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_code_and_request() {
        let mut error = ClientError::argument("name is empty");
        assert_eq!(error.to_string(), "name is empty (invalid_argument)");
        error.request_id = Some("r1".into());
        assert_eq!(error.to_string(), "name is empty (invalid_argument, request r1)");
    }
}
