//! The local file as a session of EdgeReplica's wire begins, its image hashed; and the small things that both wires ask of
//! a file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_types::{PageCount, PageSize};

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

/// What the state of a file remembers, as it is.
pub(super) async fn remembered(path: PathBuf) -> Result<Option<Synced>> {
    blocking(move || SyncState::open(&path)?.map_or(Ok(None), |state| state.synced())).await
}

/// That a pull into the file can be remembered beside it; to be asked before anything is received.
pub(super) async fn check_state(path: PathBuf) -> Result<()> {
    blocking(move || SyncState::open(&path).map(drop)).await
}

/// No file is there.
pub(super) fn nothing_there(path: &Path) -> ClientError {
    ClientError::file("FILE_MISSING", format!("{} does not exist", path.display()))
}

/// There is nothing to push in a file without pages.
pub(super) fn nothing_to_push(path: &Path, exists: bool) -> ClientError {
    if exists {
        ClientError::file("FILE_EMPTY", format!("{} is empty: there is nothing to push", path.display()))
    } else {
        nothing_there(path)
    }
}
