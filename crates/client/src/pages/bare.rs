//! `sync push` and `sync pull` (PAG-72): one session with a sync token and nothing else, against Ferry and
//! EdgeReplica's own servers alike. No state is kept or asked: a pull makes the file what the hub has.

use std::{path::Path, sync::Arc};

use ferry_types::{Root, UnixMillis};

use super::{
    install::{Installed, Replaced, confirm, install},
    local_file::{self, LocalFile, blocking},
    receive::{ReceivedImage, receive},
};
use crate::{
    Result, ServerUrl,
    admin::Direction,
    pages::file::{check_target, image::FileAccess},
    pages::wire::{Transferred, WireSession},
    progress::{Progress, TransferPhase},
};

/// What a bare transfer moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BareTransfer {
    /// By the hub's count.
    pub transferred: Transferred,
    /// Pages written into the local file; 0 in a push.
    pub written: u64,
    /// Root of the image, as this side computed it.
    pub root: Root,
}

/// Pushes one read snapshot of `file`.
///
/// # Errors
/// When the file cannot be read or the hub refuses.
pub async fn bare_push(
    server: &ServerUrl,
    token: &str,
    file: &Path,
    access: FileAccess,
    progress: Arc<dyn Progress>,
) -> Result<BareTransfer> {
    let found = local_file::find(file.to_owned(), access, Arc::clone(&progress)).await?;
    let local = match found {
        LocalFile::Image(local) => local,
        LocalFile::Missing => return Err(local_file::nothing_to_push(file, false)),
        LocalFile::Empty => return Err(local_file::nothing_to_push(file, true)),
    };
    let root = local.scan.root;
    let session = WireSession::open(server, token, Direction::Push, local.page_count().0).await?;
    let hashes = Arc::new(local.hashes());
    progress.begin(TransferPhase::Sending, Some(0));
    let (_, outcome) = session.push(local.image, hashes, Arc::clone(&progress)).await;
    progress.end();
    Ok(BareTransfer { transferred: outcome?, written: 0, root })
}

/// Makes `file` the hub's image, in one transaction; a missing file is made.
///
/// # Errors
/// When the hub refuses, the file is busy or changed meanwhile, or the disk does not allow it.
pub async fn bare_pull(
    server: &ServerUrl,
    token: &str,
    file: &Path,
    progress: Arc<dyn Progress>,
) -> Result<BareTransfer> {
    check_target(file)?;
    let found = local_file::find(file.to_owned(), FileAccess::Ordinary, Arc::clone(&progress)).await?;
    let (replaced, leaves) = Replaced::from_found(found).await?;
    let open = async |count| WireSession::open(server, token, Direction::Pull, count).await;
    let ReceivedImage { part, root, transferred } =
        receive(open, file, &replaced, &leaves, &progress).await?;
    let changed = replaced.root() != Some(root);
    let written = if changed { part.received().len() as u64 } else { 0 };
    let path = file.to_owned();
    let put = move || match install(&path, replaced, part, root, progress.as_ref(), |_| Ok(()))? {
        // Nothing is remembered, so that it does not matter when this was.
        Installed::Made => confirm(&path, root, &|| UnixMillis(0)).map(drop),
        Installed::Written(_) | Installed::Rebuilt | Installed::Equal => Ok(()),
    };
    blocking(put).await?;
    Ok(BareTransfer { transferred, written, root })
}
