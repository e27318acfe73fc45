//! API keys in memory: found by the digest of their value, so that a request with one touches no disk.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use ferry_auth::api_key::KeyKind;
use ferry_types::{ApiKeyId, DatabaseId, ModelSet, OpSet, UnixMillis};

use crate::web_origins::origin_matches;

/// A key that is not revoked, of a database that exists.
#[derive(Clone, Debug)]
pub(crate) struct ApiKeyEntry {
    pub(crate) id: ApiKeyId,
    /// SHA-256 of its value.
    pub(crate) digest: [u8; 32],
    pub(crate) database_id: DatabaseId,
    pub(crate) kind: KeyKind,
    pub(crate) models: ModelSet,
    pub(crate) ops: OpSet,
    /// Where web pages that use it are served from; empty: anywhere.
    pub(crate) origins: Arc<[String]>,
    /// The functions it may call; empty: all.
    pub(crate) functions: Arc<[String]>,
    pub(crate) per_minute: u32,
    pub(crate) expires: Option<UnixMillis>,
    /// Unix milliseconds; 0: never. Shared, so that noting a use changes no table.
    pub(crate) last_used: Arc<AtomicI64>,
}

impl ApiKeyEntry {
    /// Whether its time is over.
    pub(crate) fn is_over(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether a page served from `origin` may use it. A key that names origins is for pages alone: what sends no
    /// origin is none.
    pub(crate) fn allows_origin(&self, origin: Option<&str>) -> bool {
        let listed = |origin: &str| {
            let origin = origin.to_ascii_lowercase();
            self.origins.iter().any(|rule| origin_matches(rule, &origin))
        };
        self.origins.is_empty() || origin.is_some_and(listed)
    }

    pub(crate) fn last_used(&self) -> Option<UnixMillis> {
        Some(UnixMillis(self.last_used.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }
}

/// The keys in force, by digest and by id.
#[derive(Default)]
pub(crate) struct ApiKeyTable {
    by_digest: HashMap<[u8; 32], Arc<ApiKeyEntry>>,
    /// For connections, which remember no digest.
    by_id: HashMap<ApiKeyId, [u8; 32]>,
}

impl ApiKeyTable {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_digest.is_empty()
    }

    /// The key whose value has this digest.
    pub(crate) fn by_digest(&self, digest: &[u8; 32]) -> Option<&Arc<ApiKeyEntry>> {
        self.by_digest.get(digest)
    }

    /// The key of this id.
    pub(crate) fn by_id(&self, id: ApiKeyId) -> Option<&Arc<ApiKeyEntry>> {
        self.by_digest.get(self.by_id.get(&id)?)
    }

    pub(crate) fn add(&mut self, entry: ApiKeyEntry) {
        self.by_id.insert(entry.id, entry.digest);
        self.by_digest.insert(entry.digest, Arc::new(entry));
    }

    pub(crate) fn expire(&mut self, digest: &[u8; 32], expires: UnixMillis) {
        if let Some(entry) = self.by_digest.get_mut(digest) {
            *entry = Arc::new(ApiKeyEntry { expires: Some(expires), ..ApiKeyEntry::clone(entry) });
        }
    }

    pub(crate) fn remove(&mut self, digest: &[u8; 32]) {
        if let Some(entry) = self.by_digest.remove(digest) {
            self.by_id.remove(&entry.id);
        }
    }

    pub(crate) fn remove_database(&mut self, id: DatabaseId) {
        self.retain(|entry| entry.database_id != id);
    }

    /// Forgets the keys whose time is over.
    pub(crate) fn prune(&mut self, now: UnixMillis) {
        self.retain(|entry| !entry.is_over(now));
    }

    fn retain(&mut self, keep: impl Fn(&ApiKeyEntry) -> bool) {
        let Self { by_digest, by_id } = self;
        by_digest.retain(|_, entry| {
            let kept = keep(entry);
            if !kept {
                by_id.remove(&entry.id);
            }
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: KEY-02
    #[test]
    fn origins_are_exact_or_subdomains() {
        let mut entry = ApiKeyEntry {
            id: ApiKeyId::from_uuid(uuid::Uuid::nil()),
            digest: [0; 32],
            database_id: DatabaseId::from_uuid(uuid::Uuid::nil()),
            kind: KeyKind::Publishable,
            models: ModelSet::ALL,
            ops: OpSet::ALL,
            origins: ["https://app.example".to_owned(), "https://*.example.org".to_owned()].into(),
            functions: [].into(),
            per_minute: 1,
            expires: None,
            last_used: Arc::default(),
        };
        for good in ["https://app.example", "HTTPS://App.Example", "https://a.example.org"] {
            assert!(entry.allows_origin(Some(good)), "{good}");
        }
        assert!(!entry.allows_origin(None), "a program");
        for bad in ["https://example.org", "http://app.example", "https://app.example.evil", "null", ""] {
            assert!(!entry.allows_origin(Some(bad)), "{bad}");
        }
        entry.origins = [].into();
        assert!(entry.allows_origin(Some("https://anywhere.example")) && entry.allows_origin(None));
        assert!(!entry.is_over(UnixMillis(5)));
        entry.expires = Some(UnixMillis(5));
        assert!(entry.is_over(UnixMillis(5)) && !entry.is_over(UnixMillis(4)));
    }
}
