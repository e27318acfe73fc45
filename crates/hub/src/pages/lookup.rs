//! Finding old versions. That the index leads to the root of one is looked at before it is read: a leaf for each page, so that
//! few are looked up at once, whoever asks.

use std::sync::Arc;

use ferry_sqlite::pages::{At, PinnedVersion, Replica, VersionInfo};
use ferry_types::{Error, Result, limits::PAGES_VERSION_LOOKUPS_AT_ONCE};
use tokio::sync::Semaphore;

use super::state::blocking;

/// Turns of the looking up.
pub(super) struct VersionLookups(Arc<Semaphore>);

impl Default for VersionLookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PAGES_VERSION_LOOKUPS_AT_ONCE)))
    }
}

impl VersionLookups {
    /// Pins the version of `replica` that `at` names, if it is kept and `judge` has nothing against it.
    ///
    /// # Errors
    /// What `judge` says; when the index cannot be read, or does not lead to the version's root.
    pub(super) async fn find(
        &self,
        replica: &Arc<Replica>,
        at: At,
        judge: impl FnOnce(&VersionInfo) -> Result<()>,
    ) -> Result<Option<PinnedVersion>> {
        let asked = Arc::clone(replica);
        let Some(found) = blocking(move || asked.find_at(at)).await? else { return Ok(None) };
        judge(found.info())?;
        // The newest needs no turn, nor does what was looked up before.
        let turn = match found.is_checked() {
            true => None,
            false => Some(Arc::clone(&self.0).acquire_owned().await.map_err(|_| Error::internal())?),
        };
        let checked = blocking(move || {
            // Held to the end, also if nobody waits any more.
            let _turn = turn;
            found.check()
        });
        checked.await.map(Some)
    }
}
