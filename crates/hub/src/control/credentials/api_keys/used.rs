//! A request with an API key: whether the key still stands and may be used from there, and when it was used last.

use std::sync::{Arc, Mutex, PoisonError, atomic::Ordering};

use ferry_types::{Error, Reason, Result};

use crate::control::{
    Control,
    credentials::{api_key_use::expired_key, throttling::Counted},
    directory::{api_key_rows, api_keys::ApiKeyEntry},
};

/// How exact the time of the last use is: within it, further uses are not noted.
const USED_STEP_MS: i64 = 60_000;

/// Keys whose time of last use is not stored yet.
#[derive(Default)]
pub(crate) struct UsedKeys(Mutex<Vec<Arc<ApiKeyEntry>>>);

impl UsedKeys {
    fn push(&self, entry: Arc<ApiKeyEntry>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    fn take(&self) -> Vec<Arc<ApiKeyEntry>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Control {
    /// Admits one use of a key by a page of `origin`, if it was a page's.
    ///
    /// # Errors
    /// 401 when its time is over, 403 for a page of another origin, 429 above its rate.
    pub(crate) fn use_api_key(&self, entry: &Arc<ApiKeyEntry>, origin: Option<&str>) -> Result<()> {
        let now = self.now();
        if entry.is_over(now) {
            return Err(expired_key());
        }
        if !entry.allows_origin(origin) {
            let message =
                "this API key may not be used by pages of this origin: add the origin to a key of its own";
            return Err(Error::new(Reason::PermissionDenied, message));
        }
        self.rates.charge(Counted::ApiKey(entry.id, entry.per_minute), now)?;
        let before = entry.last_used.load(Ordering::Relaxed);
        let due = now.0.saturating_sub(before) >= USED_STEP_MS;
        // Of those who see that it is due, one notes it.
        if due
            && entry.last_used.compare_exchange(before, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.used_keys.push(Arc::clone(entry));
        }
        Ok(())
    }

    /// Stores when keys were used last. What cannot be stored is lost, and noted again at the next use.
    pub(crate) async fn flush_used_keys(&self) {
        let used = self.used_keys.take();
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
