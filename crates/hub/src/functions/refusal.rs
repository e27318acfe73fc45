//! What callers are told who get no result.

use ferry_protocol::functions::{RpcErrorCode, status_of};
use ferry_types::{Error, Reason};

/// A refusal, as callers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallRefusal {
    pub(super) code: RpcErrorCode,
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

    pub(super) fn internal(message: &str) -> Self {
        Self { code: RpcErrorCode { status: 500, code: "INTERNAL" }, ..Self::new(message) }
    }

    /// A GET of what writes (FUN-03).
    pub(super) fn writes(function: &str) -> Self {
        let message = format!("METHOD_NOT_ALLOWED: Function \"{function}\" writes; call it with POST.");
        let code = RpcErrorCode { status: 405, code: "METHOD_NOT_ALLOWED" };
        Self { code, message, retry_after_ms: None, allow: Some("POST") }
    }

    /// Another method than the one that the path takes.
    pub(super) fn method(allow: &'static str) -> Self {
        let code = RpcErrorCode { status: 405, code: "METHOD_NOT_ALLOWED" };
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
            Reason::Busy | Reason::Unavailable | Reason::ShuttingDown => "UNAVAILABLE",
            // Clients of this wire try 503 again and give up at what they do not know.
            Reason::SeqNotReached | Reason::StorageFull => {
                let code = RpcErrorCode { status: 503, code: error.reason.as_str() };
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
