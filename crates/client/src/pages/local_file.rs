//! The local file as a push or pull begins: its image hashed, and what its state remembers.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_types::{PageCount, PageSize, Root};

use crate::{
    ClientError, Result,
    pages::file::{
        ImageDigests, LocalImage, OpenedFile, SyncState, Synced, image::FileAccess, scan::announced_hashes,
    },
    progress::Progress,
};

/// A hashed image, still in its read transaction.
pub(super) struct Local {
    pub(super) image: LocalImage,
    pub(super) scan: ImageDigests,
}

/// What the state remembers, after a run that was cut off has been settled.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) synced: Option<Synced>,
    /// Whether the image is what the last sync left, so that nothing unsynced is in it.
    pub(super) untouched: bool,
}

/// What lies at the path.
pub(super) enum LocalFile {
    Missing,
    Empty,
    Image(Box<Local>),
}

impl Local {
    pub(super) const fn page_size(&self) -> PageSize {
        self.image.page_size()
    }

    pub(super) const fn page_count(&self) -> PageCount {
        self.image.page_count()
    }

    /// The hashes of all pages as the wire wants them.
    pub(super) fn hashes(&self) -> Vec<[u8; 32]> {
        announced_hashes(&self.scan.leaves, self.page_size(), self.image.first_page())
    }
}

/// Runs file work where it may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("BUG: file work panicked")
}

/// Opens and hashes the file at `path`.
pub(super) async fn find(
    path: PathBuf,
    access: FileAccess,
    progress: Arc<dyn Progress>,
) -> Result<LocalFile> {
    blocking(move || {
        Ok(match LocalImage::open(&path, access)? {
            OpenedFile::Missing => LocalFile::Missing,
            OpenedFile::Empty => LocalFile::Empty,
            OpenedFile::Image(image) => {
                let scan = ImageDigests::of(&image, progress.as_ref())?;
                LocalFile::Image(Box::new(Local { image, scan }))
            }
        })
    })
    .await
}

/// What the state of the file remembers of it.
pub(super) async fn recall(local: Box<Local>) -> Result<(Box<Local>, Memory)> {
    blocking(move || {
        let memory = settle(local.image.path(), &local)?;
        Ok((local, memory))
    })
    .await
}

/// Finishes or forgets the pull that a killed run had begun to commit: the file's own root tells which.
fn settle(path: &Path, local: &Local) -> Result<Memory> {
    let Some(mut state) = SyncState::open(path)? else { return Ok(Memory::default()) };
    let mut interim = None;
    if let Some(pending) = state.pending()? {
        if pending.synced.root == local.scan.root {
            state.record(&pending.synced, &local.scan.leaves)?;
        } else if pending.interim == Some(local.scan.root) {
            interim = pending.interim;
        } else {
            state.clear_pending()?;
        }
    }
    let synced = state.synced()?;
    let known: Option<Root> = synced.as_ref().map(|synced| synced.root);
    let untouched = known == Some(local.scan.root) || interim.is_some();
    Ok(Memory { synced, untouched })
}

/// What the state of a file remembers, as it is.
pub(super) async fn remembered(path: PathBuf) -> Result<Option<Synced>> {
    blocking(move || SyncState::open(&path)?.map_or(Ok(None), |state| state.synced())).await
}

/// That a pull into the file can be remembered beside it; to be asked before anything is received.
pub(super) async fn check_state(path: PathBuf) -> Result<()> {
    blocking(move || SyncState::open(&path).map(drop)).await
}

/// Records a whole sync. Where that fails, in a folder that takes no files for one, file and hub are equal all the same,
/// and the next sync finds it out by asking the hub.
pub(super) async fn record(path: PathBuf, synced: Synced, scan: ImageDigests) -> Result<()> {
    blocking(move || {
        let recorded = SyncState::create(&path).and_then(|mut state| state.record(&synced, &scan.leaves));
        if let Err(error) = recorded {
            tracing::warn!(
                "{} is synced, which cannot be noted beside it: {}",
                path.display(),
                error.message
            );
        }
        crate::pages::file::point("sync.state")
    })
    .await
}

/// There is nothing to push in a file without pages.
pub(super) fn nothing_to_push(path: &Path, exists: bool) -> ClientError {
    if exists {
        ClientError::file("FILE_EMPTY", format!("{} is empty: there is nothing to push", path.display()))
    } else {
        ClientError::file("FILE_MISSING", format!("{} does not exist", path.display()))
    }
}
