//! Tokens whose signature was checked a moment ago (TOK-15). Only what cannot change is remembered: purpose,
//! times, key, epochs, revocation, membership and caveats are asked anew at every use.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_auth::{KeyRing, TokenError, Verified, token};
use ferry_types::{
    UnixMillis,
    limits::{TOKEN_CACHE_MAX_ENTRIES, TOKEN_CACHE_MAX_MS},
};

struct Entry {
    verified: Arc<Verified>,
    kept: UnixMillis,
}

/// See the module.
#[derive(Default)]
pub(super) struct TokenCache(Mutex<HashMap<Box<str>, Entry>>);

impl TokenCache {
    /// The token, opened now or at most a minute ago.
    ///
    /// # Errors
    /// Why it is no token of this hub.
    pub(super) fn open(
        &self,
        text: &str,
        ring: &KeyRing,
        now: UnixMillis,
    ) -> Result<Arc<Verified>, TokenError> {
        if let Some(verified) = self.get(text, ring, now) {
            return Ok(verified);
        }
        let verified = Arc::new(token::open(text, ring)?);
        let mut entries = self.lock();
        if entries.len() >= TOKEN_CACHE_MAX_ENTRIES {
            entries.retain(|_, entry| is_fresh(entry, now));
        }
        // Only tokens that this hub signed get here: whoever fills the cache holds as many of them.
        if entries.len() >= TOKEN_CACHE_MAX_ENTRIES {
            entries.clear();
        }
        entries.insert(text.into(), Entry { verified: Arc::clone(&verified), kept: now });
        Ok(verified)
    }

    /// The token, if it was opened at most a minute ago and the ring still knows its key.
    pub(super) fn get(&self, text: &str, ring: &KeyRing, now: UnixMillis) -> Option<Arc<Verified>> {
        let entries = self.lock();
        let entry = entries.get(text).filter(|entry| is_fresh(entry, now))?;
        ring.knows(entry.verified.claims.kid).then(|| Arc::clone(&entry.verified))
    }

    /// Forgets what is too old to be used.
    pub(super) fn prune(&self, now: UnixMillis) {
        self.lock().retain(|_, entry| is_fresh(entry, now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the entry may be used. One kept in the future met a clock that was set back.
const fn is_fresh(entry: &Entry, now: UnixMillis) -> bool {
    entry.kept.0 <= now.0 && now.0 - entry.kept.0 < TOKEN_CACHE_MAX_MS
}

#[cfg(test)]
mod tests {
    use ferry_auth::{Claims, Grant, SigningKey, macaroon};
    use ferry_types::TokenId;

    use super::*;

    fn token(key: &SigningKey, number: u32) -> String {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let claims = Claims {
            kid: key.kid(),
            token_id: TokenId(id),
            issued_unix: 0,
            expires_unix: 10,
            user_id: "u_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            user_epoch: 0,
            org_id: "o_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            session_id: "s_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            grant: Grant::Session,
        };
        macaroon::mint(key, &claims, &[]).unwrap()
    }

    // Verifies: TOK-15
    #[test]
    fn an_entry_lives_a_minute_and_as_long_as_its_key() {
        let (cache, key) = (TokenCache::default(), SigningKey::new([1; 32]));
        let ring = KeyRing::new(key.clone(), Vec::new());
        let text = token(&key, 0);
        assert!(cache.get(&text, &ring, UnixMillis(0)).is_none());
        let opened = cache.open(&text, &ring, UnixMillis(0)).unwrap();
        assert!(Arc::ptr_eq(&opened, &cache.open(&text, &ring, UnixMillis(59_999)).unwrap()));
        assert!(cache.get(&text, &ring, UnixMillis(60_000)).is_none(), "a minute");
        assert!(cache.get(&text, &ring, UnixMillis(-1)).is_none(), "a clock that was set back");
        let other = KeyRing::new(SigningKey::new([2; 32]), Vec::new());
        assert!(cache.get(&text, &other, UnixMillis(1)).is_none(), "its key is retired");
        assert_eq!(cache.open(&text, &other, UnixMillis(1)), Err(TokenError::UnknownKey));
        assert_eq!(cache.open("x", &ring, UnixMillis(0)), Err(TokenError::Malformed));
        cache.prune(UnixMillis(60_000));
        assert_eq!(cache.lock().len(), 0);
    }

    // Verifies: TOK-15
    #[test]
    fn the_cache_is_bounded() {
        let (cache, key) = (TokenCache::default(), SigningKey::new([1; 32]));
        let ring = KeyRing::new(key.clone(), Vec::new());
        for number in 0..u32::try_from(TOKEN_CACHE_MAX_ENTRIES).unwrap() + 10 {
            cache.open(&token(&key, number), &ring, UnixMillis(0)).unwrap();
        }
        assert!(cache.lock().len() <= TOKEN_CACHE_MAX_ENTRIES);
    }
}
