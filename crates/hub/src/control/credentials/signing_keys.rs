//! Signing keys while the hub runs (TOK-10): a new one signs at once, the one before verifies until nothing
//! that it signed lives any more, and a retired one voids what it signed at once.

use ferry_auth::{
    SigningKey, StoredKeys,
    keyring::{KeyInfo, KeyState, RetireError},
};
use ferry_types::{Error, Reason, Result, UnixMillis};
use serde_json::json;

use crate::control::{
    Control,
    audit::{AuditRow, Who},
    credentials::{key_ring::Keys, secret_files},
    directory::{effects::ControlEffect, listing::Listing},
    origin::Origin,
    random,
};

fn precondition(message: &'static str) -> Error {
    Error::new(Reason::FailedPrecondition, message)
}

/// The name of a key as people write it.
fn kid_text(kid: u32) -> String {
    format!("{kid:08x}")
}

impl Control {
    /// A page of the signing keys, in order of their names, and the token of the next page.
    ///
    /// # Errors
    /// Bad page size or token.
    pub async fn list_signing_keys(
        &self,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<KeyInfo>, String)> {
        let listing = Listing::new("ListSigningKeys", &[], page_size, page_token)?;
        let mut keys = self.keys.lock().await.list();
        keys.sort_by_key(|key| key.kid);
        keys.retain(|key| kid_text(key.kid) > listing.after);
        Ok(listing.page(keys, |key| kid_text(key.kid)))
    }

    /// Lets a new key sign. The one before verifies for the longest life of a token.
    ///
    /// # Errors
    /// Failed precondition while `session_key` is set, or under `--dev`; storage failures, which change nothing.
    pub async fn rotate_signing_key(&self, origin: &Origin) -> Result<KeyInfo> {
        let mut keys = self.keys.lock().await;
        if !keys.session.is_empty() {
            let message =
                "session_key (SESSION_KEY) names the key that signs: put a new one in front of it there";
            return Err(precondition(message));
        }
        let mut stored = keys.changeable()?.clone();
        let now = self.now();
        let longest = self.config.session_ttl_seconds.max(self.config.max_sync_token_ttl_seconds);
        let key = SigningKey::new(random::bytes()?);
        let info = KeyInfo { kid: key.kid(), state: KeyState::Active, created_unix: now.as_secs() };
        stored.rotate(key, now.as_secs(), now.as_secs().saturating_add(longest));
        self.change_keys(&mut keys, stored, Some((now, origin.clone(), "key.rotate", info.kid))).await?;
        Ok(info)
    }

    /// Removes a key: whatever it signed is void, and connections that rest on it end.
    ///
    /// # Errors
    /// Not found; failed precondition for a key that signs or that the configuration names.
    pub async fn retire_signing_key(&self, kid: &str, origin: &Origin) -> Result<()> {
        let not_found = || Error::new(Reason::NotFound, RetireError::Unknown.to_string());
        let kid = u32::from_str_radix(kid, 16).ok().filter(|parsed| kid_text(*parsed) == kid);
        let kid = kid.ok_or_else(not_found)?;
        let mut keys = self.keys.lock().await;
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
        let note = (self.now(), origin.clone(), "key.retire", kid);
        self.change_keys(&mut keys, stored, Some(note)).await?;
        metrics::counter!("ferry_revocations_total", "kind" => "key").increment(1);
        Ok(())
    }

    /// Removes the keys whose last token is dead. A failure is logged; the next sweep tries again.
    pub(crate) async fn prune_keys(&self) {
        let mut keys = self.keys.lock().await;
        let Some(mut stored) = keys.stored.clone() else { return };
        if !stored.prune(self.now().as_secs()) {
            return;
        }
        if let Err(error) = self.change_keys(&mut keys, stored, None).await {
            tracing::warn!(%error, "signing keys past their time stay until the next sweep");
        }
    }

    /// The file first, then the commit that announces it: if the commit fails, memory keeps the old keys and the
    /// next change writes the file from them.
    async fn change_keys(
        &self,
        keys: &mut Keys,
        stored: StoredKeys,
        note: Option<(UnixMillis, Origin, &'static str, u32)>,
    ) -> Result<()> {
        let ring = std::sync::Arc::new(keys.ring_with(Some(&stored)));
        let (data_dir, file) = (self.config.data_dir.clone(), stored.clone());
        self.db
            .write(move |transaction| {
                if let Some((now, origin, action, kid)) = &note {
                    let target = kid_text(*kid);
                    let mut row = AuditRow::ok(*now, origin, Who::Operator, action, &target);
                    row.detail = json!({ "kid": target });
                    row.insert(transaction.connection())?;
                }
                secret_files::write_keys(&data_dir, &file)?;
                transaction.effect(ControlEffect::KeysChanged(ring));
                Ok(())
            })
            .await?;
        keys.stored = Some(stored);
        Ok(())
    }
}
