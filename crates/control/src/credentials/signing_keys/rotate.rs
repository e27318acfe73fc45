//! A new key signs (TOK-10).

use ferry_auth::{
    SigningKey,
    keyring::{KeyInfo, KeyState},
};
use ferry_types::Result;

use crate::{
    credentials::signing_keys::{SigningKeys, precondition},
    origin::Origin,
    random,
};

/// Lets a new key sign. The one before verifies for the longest life of a token.
pub struct RotateSigningKey<'a> {
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RotateSigningKey<'_> {
    /// # Errors
    /// Failed precondition while `session_key` is set, or under `--dev`; storage failures, which change nothing.
    pub async fn run(self, signing: &SigningKeys) -> Result<KeyInfo> {
        let Self { origin } = self;
        let mut keys = signing.keys.lock().await;
        if !keys.session.is_empty() {
            let message =
                "session_key (SESSION_KEY) names the key that signs: put a new one in front of it there";
            return Err(precondition(message));
        }
        let mut stored = keys.changeable()?.clone();
        let now = signing.db.now();
        let longest = signing.longest_life_seconds;
        let key = SigningKey::new(random::bytes()?);
        let info = KeyInfo { kid: key.kid(), state: KeyState::Active, created_unix: now.as_secs() };
        stored.rotate(key, now.as_secs(), now.as_secs().saturating_add(longest));
        signing.change_keys(&mut keys, stored, Some((now, origin.clone(), "key.rotate", info.kid))).await?;
        Ok(info)
    }
}
