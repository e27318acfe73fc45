//! JSON Web Tokens of foreign issuers (RFC 7519), and the key sets that prove them (RFC 7517). The clock and the
//! fetched bytes are handed in. Of `jsonwebtoken` only the signature check is used: everything that decides is
//! here, so that nothing is taken on trust from a token's header.

mod cache;
mod keys;
mod own_key;
mod settings;
mod stores;
#[cfg(test)]
mod tests;
mod token;

pub use cache::{FetchFailure, JwksCache, Lookup};
pub use keys::{KeySet, KeySetError, KeyStanding};
pub use own_key::{OWN_KEY_BYTES, OwnKey, OwnKeyError, SignError};
pub use settings::{BadSetting, JwtSettings, JwtSettingsText, KeySource};
pub use stores::{BadScope, StoreScope};
pub(crate) use token::signed_claims;
pub use token::{JwtClaims, UnverifiedJwt, claims_text};

/// Longest JWT, bytes (JWT-01).
pub const JWT_MAX_BYTES: usize = 8 << 10;

/// How a JWT may be signed (JWT-01). Symmetric algorithms and `none` have no name here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256, keys of at least 2048 bits.
    Rs256,
}

impl JwtAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// Its name in `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    const fn backend(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}

/// Why a JWT is refused. The text goes to callers: it names the check, never the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Over [`JWT_MAX_BYTES`].
    #[error("longer than 8192 bytes")]
    TooLong,
    /// Not three parts of base64url JSON with the members that a JWT has.
    #[error("malformed")]
    Malformed,
    /// `alg` is none of ours, not the key's, or not one that the settings allow.
    #[error("alg is not allowed: use EdDSA, ES256 or RS256, as the settings say")]
    Algorithm,
    /// The header demands extensions.
    #[error("crit is not supported")]
    Critical,
    /// A member of the header or a claim is of another type than RFC 7515 and RFC 7519 say.
    #[error("{0} must be {1}")]
    Type(&'static str, &'static str),
    /// No key is called like `kid`, or none fits.
    #[error("no key of the issuer fits kid and alg")]
    UnknownKey,
    /// More than one key fits and `kid` does not choose.
    #[error("more than one key fits: the header must name one by kid")]
    AmbiguousKey,
    /// The signature is not the key's.
    #[error("bad signature")]
    Signature,
    /// `iss` is not the configured one.
    #[error("iss is not the configured issuer")]
    Issuer,
    /// `aud` holds none of the configured ones.
    #[error("aud holds none of the configured audiences")]
    Audience,
    /// `sub` is missing or too long.
    #[error("sub must have 1 to 256 bytes")]
    Subject,
    /// `exp` is missing.
    #[error("exp is missing")]
    NoExpiry,
    /// `exp` is over.
    #[error("expired")]
    Expired,
    /// `nbf` is to come.
    #[error("not valid yet (nbf)")]
    NotYet,
    /// `iat` is missing or lies too far back for the settings' age limit.
    #[error("older than the settings allow (iat)")]
    TooOld,
}
