//! The errors that a client understands; any other tag makes it die.

use std::borrow::Cow;

/// The word in `UnknownError.payload.code`, by which an app can tell refusals apart (section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// No credential, or a bad one.
    Unauthorized,
    /// The credential lacks the right.
    Forbidden,
    /// The store does not exist.
    StoreNotFound,
    /// The frame names another store than the URL.
    StoreMismatch,
    /// The batch breaks the rules of numbering or a limit.
    InvalidBatch,
    /// The client builds on an event that the hub does not have.
    ClientAhead,
    /// The client has seen an event that the hub does not have.
    CursorAhead,
    /// A hook refused the push.
    Rejected,
    /// The hook did not answer.
    HookUnavailable,
    /// Too much at once; try later.
    RateLimited,
    /// The credential may transfer no more bytes today.
    ByteBudget,
    /// The operator must decide first.
    StoreHold,
    /// The hub's disk is full; an operator must act.
    StorageFull,
    /// Our fault.
    Internal,
}

impl ErrorCode {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Forbidden => "FORBIDDEN",
            Self::StoreNotFound => "STORE_NOT_FOUND",
            Self::StoreMismatch => "STORE_MISMATCH",
            Self::InvalidBatch => "INVALID_BATCH",
            Self::ClientAhead => "CLIENT_AHEAD",
            Self::CursorAhead => "CURSOR_AHEAD",
            Self::Rejected => "REJECTED",
            Self::HookUnavailable => "HOOK_UNAVAILABLE",
            Self::RateLimited => "RATE_LIMITED",
            Self::ByteBudget => "BYTE_BUDGET",
            Self::StoreHold => "STORE_HOLD",
            Self::StorageFull => "STORAGE_FULL",
            Self::Internal => "INTERNAL",
        }
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RpcError {
    /// Other events came first: rebase on them.
    ServerAhead {
        /// Number of the newest event.
        head: i64,
        /// What the push was built on.
        provided: i64,
    },
    /// The store is another one than the client synced with; by default the client wipes its log.
    BackendIdMismatch {
        /// The store's identity.
        expected: Box<str>,
        /// What the client sent.
        received: Box<str>,
    },
    /// Everything else.
    Unknown {
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: Cow<'static, str>,
        /// When a retry may succeed.
        retry_after_ms: Option<u64>,
    },
}

impl RpcError {
    /// An [`Self::Unknown`] without advice when to retry.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Unknown { code, message: message.into(), retry_after_ms: None }
    }

    /// A short word for metrics, from a closed set.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::ServerAhead { .. } => "server_ahead",
            Self::BackendIdMismatch { .. } => "backend_mismatch",
            Self::Unknown { code, .. } => code.as_str(),
        }
    }
}
