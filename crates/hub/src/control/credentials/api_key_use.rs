//! API keys as a request shows them (KEY-02): found by digest in memory.

use std::sync::Arc;

use crate::control::{Control, credentials::carried::ClientInfo, directory::api_keys::ApiKeyEntry};
use ferry_auth::{
    KeyRights,
    api_key::{self, KeyKind},
};
use ferry_types::{Error, Reason, Result, UnixMillis};

/// Longest API key (KEY-01).
const KEY_MAX_BYTES: usize = 256;

impl Control {
    /// What the API key grants to this client.
    ///
    /// # Errors
    /// Unknown, revoked or expired: unauthenticated. A web page that the key is not for: permission denied. Used too
    /// often: rate limit.
    pub(crate) fn key_rights(&self, value: &str, client: &ClientInfo<'_>) -> Result<KeyRights> {
        let entry = self.find_api_key(value).ok_or_else(unknown_key)?;
        self.use_api_key(&entry, client.origin)?;
        Ok(KeyRights {
            id: entry.id,
            database_id: entry.database_id,
            models: entry.models,
            ops: entry.ops,
            functions: Some(Arc::clone(&entry.functions)).filter(|listed| !listed.is_empty()),
            deadline_unix: entry.expires.map(UnixMillis::as_secs),
        })
    }

    /// Whether a bearer is a secret API key, or looks like one that is no more.
    pub(crate) fn is_secret_key(&self, bearer: &str) -> bool {
        match self.find_api_key(bearer) {
            Some(entry) => entry.kind == KeyKind::Secret,
            None => bearer.starts_with(KeyKind::Secret.value_prefix()),
        }
    }

    /// The key of this value, if there is one that was not revoked. Touches no disk.
    pub(crate) fn find_api_key(&self, value: &str) -> Option<Arc<ApiKeyEntry>> {
        let directory = self.db.directory();
        // Hashing is spared on hubs without keys.
        if directory.api_keys().is_empty() || value.len() > KEY_MAX_BYTES {
            return None;
        }
        directory.api_keys().by_digest(&api_key::digest(value)).map(Arc::clone)
    }
}

/// No key has this value, or it was revoked.
pub(crate) fn unknown_key() -> Error {
    Error::new(Reason::Unauthenticated, "unknown API key: create one with ferry key create")
}

/// The key's time is over.
pub(crate) fn expired_key() -> Error {
    Error::new(Reason::TokenExpired, "this API key has expired: ask for the one that replaced it")
}
