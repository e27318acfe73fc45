//! Memory that all requests share: so many bytes, of which one principal may have a quarter (WEB-11).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Of the whole, what one principal may have.
const SHARE: u64 = 4;

/// So many bytes for all.
pub struct MemoryPool {
    max_bytes: u64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: u64,
    by_principal: HashMap<Arc<str>, u64>,
}

/// When more may be held than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Never.
    Never,
    /// For the only one of its principal, or of all.
    Alone,
    /// In any case.
    Always,
}

impl MemoryPool {
    /// At most so much.
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, held: Mutex::default() }
    }

    /// What one principal may have.
    pub(crate) const fn share(&self) -> u64 {
        self.max_bytes / SHARE
    }

    /// Whether so many bytes more may be held for `principal`.
    pub(crate) fn has_room(&self, principal: &Arc<str>, bytes: u64, excess: Excess) -> bool {
        self.fits(&self.lock(), Some(principal), bytes, excess)
    }

    fn fits(&self, held: &Held, principal: Option<&Arc<str>>, bytes: u64, excess: Excess) -> bool {
        let own = principal.and_then(|principal| held.by_principal.get(principal)).copied().unwrap_or(0);
        let within = |held: u64, most: u64| {
            held + bytes <= most || excess == Excess::Always || excess == Excess::Alone && held == 0
        };
        within(held.bytes, self.max_bytes) && (principal.is_none() || within(own, self.share()))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one request holds of it, until it is dropped.
pub(crate) struct HeldMemory {
    pool: Arc<MemoryPool>,
    /// Whose share it is of; `None`: nobody's.
    principal: Option<Arc<str>>,
    bytes: u64,
}

impl HeldMemory {
    /// Nothing yet.
    pub(crate) const fn none(pool: Arc<MemoryPool>, principal: Option<Arc<str>>) -> Self {
        Self { pool, principal, bytes: 0 }
    }

    pub(crate) const fn principal(&self) -> Option<&Arc<str>> {
        self.principal.as_ref()
    }

    pub(crate) const fn pool(&self) -> &Arc<MemoryPool> {
        &self.pool
    }

    #[cfg(test)]
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// It is of this principal's share; told before it holds anything.
    pub(crate) fn belongs_to(&mut self, principal: &Arc<str>) {
        if self.bytes == 0 {
            self.principal = Some(Arc::clone(principal));
        }
    }

    /// Holds so many bytes more, if they fit.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: u64, excess: Excess) -> bool {
        let mut held = self.pool.lock();
        if !self.pool.fits(&held, self.principal.as_ref(), bytes, excess) {
            return false;
        }
        held.bytes += bytes;
        if let Some(principal) = &self.principal {
            *held.by_principal.entry(Arc::clone(principal)).or_default() += bytes;
        }
        self.bytes += bytes;
        true
    }

    /// Gives back all but so many; how many that are.
    pub(crate) fn shrink(&mut self, left: u64) -> u64 {
        let bytes = self.bytes.saturating_sub(left);
        let mut held = self.pool.lock();
        self.bytes -= bytes;
        held.bytes -= bytes;
        if let Some(principal) = &self.principal
            && let Some(own) = held.by_principal.get_mut(principal)
        {
            *own -= bytes;
            if *own == 0 {
                held.by_principal.remove(principal);
            }
        }
        bytes
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: WEB-11
    #[test]
    fn principals_have_a_share_and_all_have_the_whole() {
        let pool = Arc::new(MemoryPool::new(1000));
        let of = |who: Option<&str>| HeldMemory::none(Arc::clone(&pool), who.map(Into::into));
        let (mut ada, mut her_other, mut bob) = (of(Some("ada")), of(Some("ada")), of(Some("bob")));
        assert!(ada.grow(200, Excess::Never));
        assert!(!her_other.grow(51, Excess::Alone), "a quarter is one principal's");
        assert!(!bob.grow(251, Excess::Never) && bob.grow(700, Excess::Alone), "one alone may have more");
        let mut stranger = of(None);
        assert!(!stranger.grow(101, Excess::Alone) && stranger.grow(100, Excess::Never), "all together");
        assert!(!pool.has_room(&"eve".into(), 1, Excess::Alone));
        assert!(ada.grow(5000, Excess::Always));
        assert_eq!((ada.shrink(10), ada.bytes()), (5190, 10));
        drop((ada, her_other, bob, stranger));
        let left = pool.lock();
        assert!(left.bytes == 0 && left.by_principal.is_empty());
    }
}
