//! API keys as a request shows them (KEY-02): found by digest in memory; whether they still stand and may be used from
//! there, and when they were used last.

use std::sync::{Arc, Mutex, PoisonError, atomic::Ordering};

use ferry_auth::{
    KeyRights,
    api_key::{self, KeyKind},
};
use ferry_types::{Error, Reason, Result, UnixMillis};

use crate::{
    control_db::ControlDb,
    credentials::{
        carried::ClientInfo,
        throttling::{Limiter, ThrottleKey},
    },
    directory::{api_key_rows, api_keys::ApiKeyEntry},
};

/// Longest API key (KEY-01).
const KEY_MAX_BYTES: usize = 256;

/// How exact the time of the last use is: within it, further uses are not noted.
const USED_STEP_MS: i64 = 60_000;

/// Keys whose time of last use is not stored yet.
#[derive(Default)]
struct UsedKeys(Mutex<Vec<Arc<ApiKeyEntry>>>);

impl UsedKeys {
    fn push(&self, entry: Arc<ApiKeyEntry>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    fn take(&self) -> Vec<Arc<ApiKeyEntry>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// API keys as requests show them.
pub(crate) struct ApiKeys {
    db: Arc<ControlDb>,
    rates: Arc<Limiter>,
    used: UsedKeys,
}

impl ApiKeys {
    pub(crate) fn new(db: Arc<ControlDb>, rates: Arc<Limiter>) -> Self {
        Self { db, rates, used: UsedKeys::default() }
    }

    /// What the API key grants to this client.
    ///
    /// # Errors
    /// Unknown, revoked or expired: unauthenticated. A web page that the key is not for: permission denied. Used too
    /// often: rate limit.
    pub(crate) fn rights(&self, value: &str, client: &ClientInfo<'_>) -> Result<KeyRights> {
        let entry = self.find(value).ok_or_else(unknown_key)?;
        self.admit(&entry, client.origin)?;
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
    pub(crate) fn is_secret(&self, bearer: &str) -> bool {
        match self.find(bearer) {
            Some(entry) => entry.kind == KeyKind::Secret,
            None => bearer.starts_with(KeyKind::Secret.value_prefix()),
        }
    }

    /// The key of this value, if there is one that was not revoked. Touches no disk.
    fn find(&self, value: &str) -> Option<Arc<ApiKeyEntry>> {
        let directory = self.db.directory();
        // Hashing is spared on hubs without keys.
        if directory.api_keys().is_empty() || value.len() > KEY_MAX_BYTES {
            return None;
        }
        directory.api_keys().by_digest(&api_key::digest(value)).map(Arc::clone)
    }

    /// Admits one use of a key by a page of `origin`, if it was a page's.
    ///
    /// # Errors
    /// 401 when its time is over, 403 for a page of another origin, 429 above its rate.
    fn admit(&self, entry: &Arc<ApiKeyEntry>, origin: Option<&str>) -> Result<()> {
        let now = self.db.now();
        if entry.is_over(now) {
            return Err(expired_key());
        }
        if !entry.allows_origin(origin) {
            let message =
                "this API key may not be used by pages of this origin: add the origin to a key of its own";
            return Err(Error::new(Reason::PermissionDenied, message));
        }
        self.rates.charge(ThrottleKey::ApiKey(entry.id, entry.per_minute), now)?;
        let before = entry.last_used.load(Ordering::Relaxed);
        let due = now.0.saturating_sub(before) >= USED_STEP_MS;
        // Of those who see that it is due, one notes it.
        if due
            && entry.last_used.compare_exchange(before, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.used.push(Arc::clone(entry));
        }
        Ok(())
    }

    /// Stores when keys were used last. What cannot be stored is lost, and noted again at the next use.
    pub(crate) async fn flush(&self) {
        let used = self.used.take();
        if used.is_empty() {
            return;
        }
        let stored =
            self.db.write(move |transaction| api_key_rows::note_used(transaction.connection(), &used)).await;
        if let Err(error) = stored {
            tracing::warn!(%error, "the last uses of API keys are not stored");
        }
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
