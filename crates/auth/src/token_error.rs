//! Why tokens are refused.

use crate::caveat::BadCaveat;

/// Why a token is refused. The text goes to callers: it names the check, never a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Over 4096 bytes, 32 caveats, or 512 bytes in one caveat.
    #[error("token too long")]
    TooLong,
    /// Not a macaroon in version 2 binary form.
    #[error("not a Ferry token")]
    Malformed,
    /// The identifier has another version.
    #[error("unknown token version")]
    Version,
    /// No key of the ring has its name.
    #[error("unknown signing key")]
    UnknownKey,
    /// The signature does not fit.
    #[error("bad signature")]
    Signature,
    /// The claims are not such as Ferry writes.
    #[error("bad claims")]
    Claims,
    /// A caveat is not of the vocabulary.
    #[error("bad caveat: {0}")]
    Caveat(BadCaveat),
    /// It has a third-party caveat.
    #[error("third-party caveats are not accepted")]
    ThirdParty,
    /// A session where a sync token is asked for, or the other way round.
    #[error("a token of another purpose")]
    WrongPurpose,
    /// Its time is over.
    #[error("token expired")]
    Expired,
    /// Its time has not come.
    #[error("token not valid yet")]
    NotYet,
}
