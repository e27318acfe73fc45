//! What was proven of a credential a moment ago, by its text (TOK-15). Only what cannot change is remembered;
//! whoever asks checks times, epochs and revocation anew at every use.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_types::{
    UnixMillis,
    limits::{TOKEN_CACHE_MAX_ENTRIES, TOKEN_CACHE_MAX_MS},
};

struct CachedProof<T> {
    proven: Arc<T>,
    kept: UnixMillis,
}

/// Proofs by the text of their credential. At most [`TOKEN_CACHE_MAX_ENTRIES`], each for [`TOKEN_CACHE_MAX_MS`].
pub(crate) struct ProofCache<T>(Mutex<HashMap<Box<str>, CachedProof<T>>>);

impl<T> Default for ProofCache<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> ProofCache<T> {
    /// What was proven of `text` lately.
    pub(crate) fn get(&self, text: &str, now: UnixMillis) -> Option<Arc<T>> {
        self.lock().get(text).filter(|entry| is_fresh(entry, now)).map(|entry| Arc::clone(&entry.proven))
    }

    /// Remembers what was proven of `text`, which only a holder of our or an issuer's signature can fill.
    pub(crate) fn keep(&self, text: &str, proven: Arc<T>, now: UnixMillis) {
        let mut entries = self.lock();
        if entries.len() >= TOKEN_CACHE_MAX_ENTRIES {
            entries.retain(|_, entry| is_fresh(entry, now));
        }
        if entries.len() >= TOKEN_CACHE_MAX_ENTRIES {
            entries.clear();
        }
        entries.insert(text.into(), CachedProof { proven, kept: now });
    }

    /// Forgets what is too old to be used.
    pub(crate) fn prune(&self, now: UnixMillis) {
        self.lock().retain(|_, entry| is_fresh(entry, now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, CachedProof<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the entry may be used. One kept in the future met a clock that was set back.
const fn is_fresh<T>(entry: &CachedProof<T>, now: UnixMillis) -> bool {
    entry.kept.0 <= now.0 && now.0 - entry.kept.0 < TOKEN_CACHE_MAX_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: TOK-15
    #[test]
    fn an_entry_lives_a_minute() {
        let recent = ProofCache::default();
        assert!(recent.get("a", UnixMillis(0)).is_none());
        recent.keep("a", Arc::new(7), UnixMillis(0));
        assert_eq!(recent.get("a", UnixMillis(59_999)).as_deref(), Some(&7));
        assert!(recent.get("a", UnixMillis(60_000)).is_none(), "a minute");
        assert!(recent.get("a", UnixMillis(-1)).is_none(), "a clock that was set back");
        recent.prune(UnixMillis(60_000));
        assert_eq!(recent.lock().len(), 0);
    }

    // Verifies: TOK-15
    #[test]
    fn memory_is_bounded() {
        let recent = ProofCache::default();
        for number in 0..TOKEN_CACHE_MAX_ENTRIES + 10 {
            recent.keep(&number.to_string(), Arc::new(number), UnixMillis(0));
        }
        assert!(recent.lock().len() <= TOKEN_CACHE_MAX_ENTRIES);
    }
}
