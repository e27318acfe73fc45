//! A signing key is removed, and what it signed is void (TOK-10).

use ferry_auth::keyring::RetireError;
use ferry_types::{Error, Reason, Result};

use crate::{
    credentials::signing_keys::{SigningKeys, kid_text, precondition},
    origin::Origin,
};

/// Removes a key: whatever it signed is void, and connections that rest on it end.
pub struct RetireSigningKey<'a> {
    /// Name of the key.
    pub kid: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RetireSigningKey<'_> {
    /// # Errors
    /// Not found; failed precondition for a key that signs or that the configuration names.
    pub async fn run(self, signing: &SigningKeys) -> Result<()> {
        let Self { kid, origin } = self;
        let not_found = || Error::new(Reason::NotFound, RetireError::Unknown.to_string());
        let kid = u32::from_str_radix(kid, 16).ok().filter(|parsed| kid_text(*parsed) == kid);
        let kid = kid.ok_or_else(not_found)?;
        let mut keys = signing.keys.lock().await;
        if keys.session.iter().any(|key| key.kid() == kid) {
            return Err(precondition(
                "session_key (SESSION_KEY) names this key: remove it there and restart",
            ));
        }
        let mut stored = keys.changeable()?.clone();
        stored.retire(kid).map_err(|error| match error {
            RetireError::Unknown => not_found(),
            RetireError::Active => Error::new(Reason::FailedPrecondition, error.to_string()),
        })?;
        let note = (signing.db.now(), origin.clone(), "key.retire", kid);
        signing.change_keys(&mut keys, stored, Some(note)).await?;
        metrics::counter!("ferry_revocations_total", "kind" => "key").increment(1);
        Ok(())
    }
}
