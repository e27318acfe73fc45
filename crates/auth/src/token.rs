//! The checks of a token that need nothing but the token, the key ring and the time, in the order of TOK-03:
//! size, parse, key, signature, claims, purpose, times. Epochs, revocation and membership are the control
//! plane's, who asks for them next.

use std::sync::Arc;

use crate::{
    budget::ByteBudget,
    caveat::{Caveat, Restrictions},
    claims::{Claims, Purpose},
    keyring::KeyRing,
    macaroon,
    token_error::TokenError,
};

/// A token with a good signature. What it may do now is asked of [`Verified::check`], and of the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it states.
    pub claims: Claims,
    /// Its caveats, in order.
    pub caveats: Vec<Caveat>,
    /// The caveats taken together.
    pub restrictions: Arc<Restrictions>,
    /// What it may transfer in a day, counted in one bucket for each `bpd` caveat (TOK-14); `None`: no limit.
    pub byte_budgets: Option<Arc<[ByteBudget]>>,
    /// Unix second at which it expires: `min(expires_unix, exp…)` (TOK-04).
    pub deadline_unix: i64,
}

impl Verified {
    /// Purpose and times, which a cached token must pass anew at each use.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn check(&self, purpose: Purpose, now_unix: i64) -> Result<(), TokenError> {
        if self.claims.purpose() != purpose {
            return Err(TokenError::WrongPurpose);
        }
        if self.deadline_unix <= now_unix {
            return Err(TokenError::Expired);
        }
        if self.restrictions.nbf_unix.is_some_and(|nbf| nbf > now_unix) {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }
}

/// Checks everything of `token` that does not change with time or use: size, form, key, signature, claims,
/// caveats. The result may be kept as long as the ring knows its key.
///
/// # Errors
/// The first check that failed.
pub fn open(token: &str, ring: &KeyRing) -> Result<Verified, TokenError> {
    let unverified = macaroon::decode(token)?;
    unverified.check_signature(ring)?;
    let caveats = unverified.caveats()?;
    let byte_budgets = unverified.byte_budgets(&caveats);
    let claims = unverified.claims;
    let restrictions = match caveats.as_slice() {
        [] => Restrictions::shared_none(),
        some => Arc::new(Restrictions::combine(some).map_err(TokenError::Caveat)?),
    };
    let deadline_unix = restrictions.exp_unix.map_or(claims.expires_unix, |exp| exp.min(claims.expires_unix));
    Ok(Verified { claims, caveats, restrictions, byte_budgets, deadline_unix })
}

/// [`open`], then [`Verified::check`].
///
/// # Errors
/// The first check that failed.
pub fn verify(token: &str, ring: &KeyRing, purpose: Purpose, now_unix: i64) -> Result<Verified, TokenError> {
    let verified = open(token, ring)?;
    verified.check(purpose, now_unix)?;
    Ok(verified)
}

#[cfg(test)]
mod tests;
