//! A local copy that something else keeps up to date, as a program sees it that reads it.

use std::{path::PathBuf, time::Duration};

use ferry_types::Tag;

use super::{file::SyncState, local_file::blocking};
use crate::Result;

/// How often the state is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A file that `follow` or `pull` brings up to date.
#[derive(Clone, Debug)]
pub struct Replica {
    file: PathBuf,
}

impl Replica {
    /// The copy at `file`.
    #[must_use]
    pub const fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// The version that the file contains; `None` before the first.
    ///
    /// # Errors
    /// When the state beside the file cannot be read.
    pub async fn version(&self) -> Result<Option<Tag>> {
        let file = self.file.clone();
        blocking(move || Ok(SyncState::open(&file)?.map(|state| state.synced()).transpose()?.flatten()))
            .await
            .map(|synced| synced.and_then(|synced| synced.tag()))
    }

    /// Returns once the file contains `version` or a later one: whoever wrote at the hub and got that version reads it here.
    ///
    /// # Errors
    /// When the state beside the file cannot be read.
    pub async fn wait_for(&self, version: u64) -> Result<Tag> {
        let mut state = None;
        loop {
            let file = self.file.clone();
            let (open, found) = blocking(move || {
                let state = match state {
                    Some(state) => Some(state),
                    None => SyncState::open(&file)?,
                };
                let found = state.as_ref().map(SyncState::synced).transpose()?.flatten();
                Ok::<_, crate::ClientError>((state, found))
            })
            .await?;
            if let Some(tag) = found.and_then(|synced| synced.tag()).filter(|tag| tag.version >= version) {
                return Ok(tag);
            }
            state = open;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
