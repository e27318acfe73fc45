//! Where the control plane's randomness comes from: ids and secrets.

use std::sync::{Mutex, PoisonError};

use ferry_types::{Error, Result, UnixMillis};
use uuid::{ContextV7, Timestamp, Uuid};

/// `N` random bytes of the operating system.
///
/// # Errors
/// Internal, when the operating system has none.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the operating system gave no random bytes");
        Error::internal()
    })?;
    Ok(bytes)
}

/// Draws UUIDs of version 7: ids made later sort later, within a millisecond too.
pub(crate) struct Ids(Mutex<ContextV7>);

impl Ids {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(ContextV7::new()))
    }

    pub(crate) fn next(&self, now: UnixMillis) -> Uuid {
        let context = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = u64::try_from(now.0).unwrap_or(0);
        let nanos = u32::try_from(millis % 1000 * 1_000_000).expect("BUG: below one second");
        Uuid::new_v7(Timestamp::from_unix(&*context, millis / 1000, nanos))
    }
}
