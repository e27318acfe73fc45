//! How a command ends when it does not end well: exit codes (CLI-01, PAG-71) and the words on stderr.

use std::io;

use ferry_client::{ClientError, ClientErrorCode};
use ferry_types::Code;
use serde_json::json;

/// Wrong use of the command line; clap's own code.
pub(crate) const EXIT_USAGE: u8 = 2;
const EXIT_OTHER: u8 = 1;
/// Something waits for somebody: steps of an upgrade, a warning, what is late; or what was compared is different.
const EXIT_ATTENTION: u8 = 12;
const EXIT_CONFIGURATION: u8 = 78;
const EXIT_INTERRUPTED: u8 = 130;
/// What a shell shows for a program that SIGPIPE ended.
const EXIT_PIPE_CLOSED: u8 = 141;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The hub refused, no hub answered, or the local file does not allow it.
    Client(ClientError),
    /// The command line, or what stands in for it, is wrong.
    Usage(String),
    /// A file of settings is wrong.
    Configuration(String),
    /// All went well, and somebody should act on what was shown.
    Attention(String),
    /// What should have been done by now was not.
    Late(String),
    /// Ctrl-C, and what it left behind, where that is not plain.
    Interrupted(Option<String>),
    /// What was compared is different, which was asked for.
    Different(String),
    /// Nobody reads stdout any more.
    PipeClosed,
}

impl Failure {
    /// A failure of this machine.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::Client(ClientError::new(ClientErrorCode::Failed, "FAILED", message))
    }

    /// Whether what was asked for is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Client(error) if error.code == ClientErrorCode::Table(Code::NotFound))
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => exit_code(error.code),
            Self::Usage(_) => EXIT_USAGE,
            Self::Configuration(_) => EXIT_CONFIGURATION,
            Self::Attention(_) | Self::Different(_) | Self::Late(_) => EXIT_ATTENTION,
            Self::Interrupted(_) => EXIT_INTERRUPTED,
            Self::PipeClosed => EXIT_PIPE_CLOSED,
        }
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        let (code, reason, message, request_id) = match self {
            Self::Client(error) => (
                error.code.as_str(),
                error.reason.as_str(),
                error.message.clone(),
                error.request_id.as_deref(),
            ),
            Self::Usage(message) => ("usage", "USAGE", message.clone(), None),
            Self::Configuration(message) => ("configuration", "CONFIGURATION", message.clone(), None),
            Self::Attention(message) => ("attention", "ATTENTION", message.clone(), None),
            Self::Late(message) => ("late", "LATE", message.clone(), None),
            Self::Interrupted(_) => ("interrupted", "INTERRUPTED", self.to_string(), None),
            Self::Different(message) => ("different", "DIFFERENT", message.clone(), None),
            Self::PipeClosed => ("failed", "PIPE_CLOSED", self.to_string(), None),
        };
        json!({ "error": { "code": code, "reason": reason, "message": message, "request_id": request_id } })
    }
}

/// What a hub says of a session that was ended, or that it never had.
const VOID_SESSION: &str = "session token required";

const fn exit_code(code: ClientErrorCode) -> u8 {
    match code {
        ClientErrorCode::Table(code) => match code {
            Code::Unauthenticated => 3,
            Code::PermissionDenied => 4,
            Code::NotFound => 5,
            Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => 6,
            Code::Unavailable => 7,
            Code::ResourceExhausted => 8,
            Code::InvalidArgument => 9,
            Code::Internal | Code::Unimplemented | Code::DeadlineExceeded => EXIT_OTHER,
        },
        ClientErrorCode::Unreachable => 7,
        ClientErrorCode::FileUnusable => 10,
        ClientErrorCode::Unverified => 11,
        ClientErrorCode::Failed => EXIT_OTHER,
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Client(error) => {
                write!(f, "{error}")?;
                if error.is_unauthenticated() && error.message == VOID_SESSION {
                    f.write_str(
                        "; the session that is kept here is none of this hub's: log in with ferry login",
                    )?;
                }
                match error.retry_after_ms {
                    _ if error.message.contains("try again in") => Ok(()),
                    Some(ms) => write!(f, "; try again in {} s", ms.div_ceil(1000)),
                    None => Ok(()),
                }
            }
            Self::Usage(message)
            | Self::Configuration(message)
            | Self::Attention(message)
            | Self::Different(message)
            | Self::Late(message) => f.write_str(message),
            Self::Interrupted(None) => f.write_str("interrupted"),
            Self::Interrupted(Some(left)) => write!(f, "interrupted: {left}"),
            Self::PipeClosed => f.write_str("stdout is closed"),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// Failures of writing to stdout.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::PipeClosed
        } else {
            Self::other(format!("cannot write to stdout: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: CLI-01
    #[test]
    fn exit_codes_are_the_documented_ones() {
        let code = |code| Failure::Client(ClientError::new(ClientErrorCode::Table(code), "", "")).exit_code();
        let table = [
            (Code::Unauthenticated, 3),
            (Code::PermissionDenied, 4),
            (Code::NotFound, 5),
            (Code::AlreadyExists, 6),
            (Code::Aborted, 6),
            (Code::FailedPrecondition, 6),
            (Code::Unavailable, 7),
            (Code::ResourceExhausted, 8),
            (Code::InvalidArgument, 9),
            (Code::Internal, 1),
        ];
        for (given, expected) in table {
            assert_eq!(code(given), expected, "{given:?}");
        }
        assert_eq!(Failure::Client(ClientError::file("FILE_BUSY", "")).exit_code(), 10);
        assert_eq!(Failure::Client(ClientError::unverified("")).exit_code(), 11);
        assert_eq!(Failure::Interrupted(None).exit_code(), 130);
    }
}
