//! The checks of a token that need nothing but the token, the key ring and the time, in the order of TOK-03:
//! size, parse, key, signature, claims, purpose, times. Epochs, revocation and membership are the control
//! plane's, who asks for them next.

use crate::{
    budget::ByteBudget,
    caveat::{BadCaveat, Caveat, Restrictions},
    claims::{Claims, Purpose},
    keyring::KeyRing,
    macaroon,
};

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

/// A token that passed every check of this module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it states.
    pub claims: Claims,
    /// Its caveats, in order.
    pub caveats: Vec<Caveat>,
    /// The caveats taken together.
    pub restrictions: Restrictions,
    /// What it may transfer in a day, counted in one bucket for each `bpd` caveat (TOK-14).
    pub byte_budgets: Vec<ByteBudget>,
    /// From this Unix second on it is dead: `min(expires_unix, exp…)` (TOK-04).
    pub deadline_unix: i64,
}

/// Checks `token` against the ring, the purpose and the time.
///
/// # Errors
/// The first check that failed.
pub fn verify(token: &str, ring: &KeyRing, purpose: Purpose, now_unix: i64) -> Result<Verified, TokenError> {
    let unverified = macaroon::decode(token)?;
    unverified.check_signature(ring)?;
    let caveats = unverified.caveats()?;
    let byte_budgets = unverified.byte_budgets(&caveats);
    let claims = unverified.claims;
    let restrictions = Restrictions::combine(&caveats).map_err(TokenError::Caveat)?;
    if claims.purpose() != purpose {
        return Err(TokenError::WrongPurpose);
    }
    let deadline_unix = restrictions.exp_unix.map_or(claims.expires_unix, |exp| exp.min(claims.expires_unix));
    if deadline_unix <= now_unix {
        return Err(TokenError::Expired);
    }
    if restrictions.nbf_unix.is_some_and(|nbf| nbf > now_unix) {
        return Err(TokenError::NotYet);
    }
    Ok(Verified { claims, caveats, restrictions, byte_budgets, deadline_unix })
}

#[cfg(test)]
mod tests;
