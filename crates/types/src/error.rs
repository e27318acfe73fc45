//! The one table that maps every refusal to its HTTP status, Connect code and WebSocket close code.

use std::{borrow::Cow, fmt};

/// The family of a refusal: a Connect (gRPC) status code, with its HTTP status and WebSocket close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request is malformed, whatever the state of the hub.
    InvalidArgument,
    /// The request is well-formed, and the state of the hub forbids it.
    FailedPrecondition,
    /// No credential, or not a valid one.
    Unauthenticated,
    /// A valid credential without this right.
    PermissionDenied,
    /// Unknown, or not visible to the caller.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// Another write came first.
    Aborted,
    /// A limit was reached.
    ResourceExhausted,
    /// Our fault; the cause is only in the log.
    Internal,
    /// Not offered by this hub.
    Unimplemented,
    /// Not now; a retry may succeed.
    Unavailable,
    /// It took too long.
    DeadlineExceeded,
}

impl Code {
    /// HTTP status of the family; a [`Reason`] may have one of its own.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument | Self::FailedPrecondition => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::ResourceExhausted => 429,
            Self::Internal => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }

    /// The word in Connect JSON and in `/v1` errors.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::FailedPrecondition => "failed_precondition",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Aborted => "aborted",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Internal => "internal",
            Self::Unimplemented => "unimplemented",
            Self::Unavailable => "unavailable",
            Self::DeadlineExceeded => "deadline_exceeded",
        }
    }

    /// WebSocket close code (RFC 6455, section 7.4; 1013 of the IANA registry).
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Unauthenticated | Self::PermissionDenied | Self::NotFound | Self::FailedPrecondition => {
                1008
            }
            Self::ResourceExhausted | Self::Unavailable | Self::Aborted | Self::DeadlineExceeded => 1013,
            Self::InvalidArgument | Self::AlreadyExists | Self::Internal | Self::Unimplemented => 1011,
        }
    }
}

macro_rules! reasons {
    ($($(#[$meta:meta])* $variant:ident = $word:literal, $code:ident, $http:expr;)+) => {
        /// The stable word of a refusal; programs branch on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$meta])* $variant),+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Stable UPPER_SNAKE word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Its family.
            #[must_use]
            pub const fn code(self) -> Code {
                match self { $(Self::$variant => Code::$code),+ }
            }

            /// HTTP status outside RPC (RPC follows Connect's: the family's).
            #[must_use]
            pub const fn http_status(self) -> u16 {
                let own: Option<u16> = match self { $(Self::$variant => $http),+ };
                match own { Some(status) => status, None => self.code().http_status() }
            }
        }
    };
}

reasons! {
    /// A field of the request is wrong; the message names it.
    InvalidArgument = "INVALID_ARGUMENT", InvalidArgument, None;
    /// The endpoint does not take the method; the header `Allow` lists those that it takes.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", InvalidArgument, Some(405);
    /// No or bad credential.
    Unauthenticated = "UNAUTHENTICATED", Unauthenticated, None;
    /// A JWT names nobody: its `sub` is empty.
    MissingSubject = "MISSING_SUBJECT", Unauthenticated, None;
    /// The credential expired.
    TokenExpired = "TOKEN_EXPIRED", Unauthenticated, None;
    /// The credential was revoked.
    TokenRevoked = "TOKEN_REVOKED", Unauthenticated, None;
    /// The credential lacks the right.
    PermissionDenied = "PERMISSION_DENIED", PermissionDenied, None;
    /// A token of another purpose.
    WrongPurpose = "WRONG_PURPOSE", PermissionDenied, None;
    /// The session carries caveats that leave it only some calls.
    AttenuatedSession = "ATTENUATED_SESSION", PermissionDenied, None;
    /// The account must prove its e-mail address first.
    EmailUnverified = "EMAIL_UNVERIFIED", PermissionDenied, None;
    /// Accounts are made by invitation.
    SignupClosed = "SIGNUP_CLOSED", PermissionDenied, None;
    /// Unknown, or not visible to the caller.
    NotFound = "NOT_FOUND", NotFound, None;
    /// The name or e-mail is taken.
    AlreadyExists = "ALREADY_EXISTS", AlreadyExists, None;
    /// The e-mail that a provider vouches for belongs to an account that does not know the provider.
    AccountExists = "ACCOUNT_EXISTS", AlreadyExists, None;
    /// An organisation would be left without an admin.
    SoleAdmin = "SOLE_ADMIN", FailedPrecondition, None;
    /// The state of the hub forbids it; the message says which.
    FailedPrecondition = "FAILED_PRECONDITION", FailedPrecondition, None;
    /// The database is of the other kind.
    WrongKind = "WRONG_KIND", FailedPrecondition, Some(409);
    /// The device holds the records of another user than the one who asks.
    OwnerChanged = "OWNER_CHANGED", FailedPrecondition, Some(409);
    /// Another push was committed first.
    VersionConflict = "VERSION_CONFLICT", Aborted, Some(412);
    /// The hub does not know what the reader has: it was restored from a backup, or forgot.
    BaseUnknown = "BASE_UNKNOWN", FailedPrecondition, Some(410);
    /// The version is no longer kept.
    VersionGone = "VERSION_GONE", FailedPrecondition, Some(410);
    /// A write of a version does not say on which one it is based.
    PreconditionRequired = "PRECONDITION_REQUIRED", FailedPrecondition, Some(428);
    /// The body is compressed, which this endpoint does not take.
    EncodingNotTaken = "ENCODING_NOT_TAKEN", InvalidArgument, Some(415);
    /// The pushed bytes are no plain SQLite database.
    NotSqlite = "NOT_SQLITE", InvalidArgument, Some(422);
    /// A body of pages breaks a rule of its format; the message names the byte.
    BadBody = "BAD_BODY", InvalidArgument, Some(422);
    /// A body of pages is for another database.
    WrongDatabase = "WRONG_DATABASE", InvalidArgument, Some(422);
    /// A body of pages does not lead to the root that it names.
    RootMismatch = "ROOT_MISMATCH", FailedPrecondition, Some(422);
    /// A page that a push relies on is no longer staged.
    StagedGone = "STAGED_GONE", FailedPrecondition, Some(422);
    /// Over the number of collections of records.
    TooManyCollections = "TOO_MANY_COLLECTIONS", ResourceExhausted, Some(422);
    /// Over a size limit.
    TooLarge = "TOO_LARGE", ResourceExhausted, Some(413);
    /// Over a rate or connection limit.
    RateLimited = "RATE_LIMITED", ResourceExhausted, None;
    /// Over the number of databases of an organisation.
    DatabaseLimit = "DATABASE_LIMIT", ResourceExhausted, None;
    /// Over the number of organisations, members or invitations.
    OrgLimit = "ORG_LIMIT", ResourceExhausted, None;
    /// Over the number of API keys of a database.
    ApiKeyLimit = "API_KEY_LIMIT", ResourceExhausted, None;
    /// A token's bytes of the day are spent.
    ByteBudget = "BYTE_BUDGET", ResourceExhausted, None;
    /// The writer or the password hasher has no place; retry.
    Busy = "BUSY", Unavailable, None;
    /// The hub is stopping; retry.
    ShuttingDown = "SHUTTING_DOWN", Unavailable, None;
    /// The disk is full or failing.
    StorageFull = "STORAGE_FULL", Unavailable, Some(507);
    /// A dependency of the hub does not answer.
    Unavailable = "UNAVAILABLE", Unavailable, None;
    /// The demanded commit was not reached in time.
    SeqNotReached = "SEQ_NOT_REACHED", Unavailable, None;
    /// The quarantine of ops has no room: an operator must release or discard some.
    QuarantineFull = "QUARANTINE_FULL", Unavailable, None;
    /// Not configured or not offered.
    Unimplemented = "UNIMPLEMENTED", Unimplemented, None;
    /// A name that is kept for later.
    NotYet = "NOT_YET", Unimplemented, None;
    /// Our fault.
    Internal = "INTERNAL", Internal, None;
}

/// A refusal as a caller sees it: stable reason, and a message that names what was wrong and what to do. It
/// never carries internals; those are logged where they are met, and the caller gets [`Error::internal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The stable word.
    pub reason: Reason,
    /// For people.
    pub message: Cow<'static, str>,
    /// Milliseconds after which a retry may succeed.
    pub retry_after_ms: Option<u64>,
}

/// The result of anything that may be refused to a caller.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A refusal for `reason` with `message`.
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, message: message.into(), retry_after_ms: None }
    }

    /// The same with advice when to retry.
    #[must_use]
    pub const fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// Our fault; says nothing of the cause (WEB-08).
    #[must_use]
    pub const fn internal() -> Self {
        Self { reason: Reason::Internal, message: Cow::Borrowed("internal error"), retry_after_ms: None }
    }

    /// The family of the reason.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.reason.code()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_unique_and_upper_snake_case() {
        let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
