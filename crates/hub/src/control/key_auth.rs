//! API keys as a request shows them (KEY-02): found by digest in memory.

use std::collections::HashMap;

use ferry_auth::KeyRights;
use ferry_types::{ApiKeyId, DatabaseId, Error, ModelSet, OpSet, Reason, Result, UnixMillis};
use sha2::{Digest as _, Sha256};

use super::{Control, credentials::ClientInfo, directory::Directory};

/// SHA-256 of a key's value, which is all that is kept of it.
pub(super) type KeyDigest = [u8; 32];

/// Longest API key (KEY-01).
const KEY_MAX_BYTES: usize = 256;

/// An API key that was not revoked.
#[derive(Clone, Debug)]
pub(super) struct ApiKeyEntry {
    pub(super) id: ApiKeyId,
    pub(super) database_id: DatabaseId,
    /// Whether it may also stand where a bearer does.
    pub(super) secret: bool,
    pub(super) models: ModelSet,
    pub(super) ops: OpSet,
    /// The web pages that may use it; empty: all, and programs.
    pub(super) origins: Box<[Box<str>]>,
    pub(super) expires: Option<UnixMillis>,
}

/// The API keys, by what a request shows and by what a connection remembers.
#[derive(Default)]
pub(super) struct ApiKeys {
    by_digest: HashMap<KeyDigest, ApiKeyEntry>,
    by_id: HashMap<ApiKeyId, KeyDigest>,
}

impl ApiKeys {
    pub(super) fn add(&mut self, digest: KeyDigest, entry: ApiKeyEntry) {
        self.by_id.insert(entry.id, digest);
        self.by_digest.insert(digest, entry);
    }

    pub(super) fn by_digest(&self, digest: &KeyDigest) -> Option<&ApiKeyEntry> {
        self.by_digest.get(digest)
    }

    pub(super) fn by_id(&self, id: ApiKeyId) -> Option<&ApiKeyEntry> {
        self.by_digest.get(self.by_id.get(&id)?)
    }
}

/// What is looked up of `value`; `None` for what is too long to be a key.
fn digest(value: &str) -> Option<KeyDigest> {
    (value.len() <= KEY_MAX_BYTES).then(|| Sha256::digest(value).into())
}

impl Control {
    /// What the API key grants to this client.
    ///
    /// # Errors
    /// Unknown, revoked or expired: unauthenticated. A web page that the key is not for: permission denied.
    pub(super) fn key_rights(&self, value: &str, client: &ClientInfo<'_>) -> Result<KeyRights> {
        let unknown =
            || Error::new(Reason::Unauthenticated, "unknown API key: create one with ferry key create");
        let digest = digest(value).ok_or_else(unknown)?;
        let directory = self.state.read();
        let entry = directory.api_keys().by_digest(&digest).ok_or_else(unknown)?;
        if directory.database(entry.database_id).is_none() {
            return Err(unknown());
        }
        if entry.expires.is_some_and(|expires| expires <= self.now()) {
            let message = "this API key has expired: create another, or use the one that replaced it";
            return Err(Error::new(Reason::TokenExpired, message));
        }
        let allowed = |origin: &str| entry.origins.iter().any(|known| known.eq_ignore_ascii_case(origin));
        if !entry.origins.is_empty() && !client.origin.is_some_and(allowed) {
            let message = "this API key is not for this web page: add its Origin to the key's list";
            return Err(Error::new(Reason::PermissionDenied, message));
        }
        Ok(KeyRights {
            id: entry.id,
            database_id: entry.database_id,
            models: entry.models,
            ops: entry.ops,
            deadline_unix: entry.expires.map(UnixMillis::as_secs),
        })
    }

    /// Whether a bearer is a secret API key.
    pub(super) fn is_secret_key(&self, bearer: &str) -> bool {
        let directory: &Directory = &self.state.read();
        // Hashing is spared on hubs without keys.
        !directory.api_keys().by_id.is_empty()
            && digest(bearer)
                .and_then(|digest| directory.api_keys().by_digest(&digest))
                .is_some_and(|entry| entry.secret)
    }
}
