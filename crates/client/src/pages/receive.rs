//! Receiving the hub's image into the part beside the file.

use std::{path::Path, sync::Arc};

use ferry_types::{Leaf, PageCount, PageSize, Root};

use super::{
    install::Replaced,
    local_file::{Local, LocalFile, blocking},
};
use crate::{
    ClientError, Result,
    pages::file::{Part, point, scan::announced_hashes},
    pages::wire::{Transferred, WireSession},
    progress::{Progress, TransferPhase},
};

/// How a hub refuses a new file of another page size to a client that can only create 4096 (PAG-13). Told
/// that the file has a page, it sends the image all the same.
const PAGE_SIZE_REFUSAL: &str = "page size is ";

impl Replaced {
    /// What was found, its read transaction ended, and its leaves.
    pub(super) async fn from_found(found: LocalFile) -> Result<(Self, Vec<Leaf>)> {
        Ok(match found {
            LocalFile::Missing => (Self::Nothing, Vec::new()),
            LocalFile::Empty => (Self::Empty, Vec::new()),
            LocalFile::Image(local) => {
                let Local { image, scan } = *local;
                let base = Box::new(blocking(move || image.release()).await?);
                (Self::Image { base, root: scan.root }, scan.leaves)
            }
        })
    }

    fn page_count(&self) -> u32 {
        match self {
            Self::Image { base, .. } => base.page_count().0,
            Self::Nothing | Self::Empty => 0,
        }
    }
}

/// One received and verified image.
pub(super) struct ReceivedImage {
    pub(super) part: Part,
    pub(super) root: Root,
    pub(super) transferred: Transferred,
}

/// Receives the hub's image through a session that `open` opens, given the number of local pages.
pub(super) async fn receive(
    open: impl AsyncFn(u32) -> Result<WireSession>,
    file: &Path,
    replaced: &Replaced,
    leaves: &[Leaf],
    progress: &Arc<dyn Progress>,
) -> Result<ReceivedImage> {
    let count = replaced.page_count();
    let attempt = async |count| receive_from(open(count).await?, file, replaced, leaves, progress).await;
    match attempt(count).await {
        Err(error) if count == 0 && error.message.contains(PAGE_SIZE_REFUSAL) => attempt(1).await,
        outcome => outcome,
    }
}

async fn receive_from(
    session: WireSession,
    file: &Path,
    replaced: &Replaced,
    leaves: &[Leaf],
    progress: &Arc<dyn Progress>,
) -> Result<ReceivedImage> {
    let count = PageCount(session.page_count());
    if count.0 == 0 {
        session.abandon().await;
        return Err(ClientError::conflict(
            "DATABASE_EMPTY",
            "the database is empty: push a file to it first",
        ));
    }
    let page_size = PageSize::new(session.page_size()).ok_or_else(|| {
        ClientError::unverified(format!("the hub names a page size of {}", session.page_size()))
    })?;
    let (hashes, leaves, first) = match replaced {
        Replaced::Image { base, .. } if base.page_size() == page_size => {
            let first = base.first_page();
            (announced_hashes(leaves, page_size, first), leaves, Some(first))
        }
        // Without leaves in common there is nothing to announce: the hub sends every page.
        _ => (Vec::new(), &[][..], None),
    };
    // Of a new file every page comes; how many of an old one, nobody knows before.
    let total = first.is_none().then_some(u64::from(count.0) * page_size.bytes() as u64);
    let (path, shared) = (file.to_owned(), Arc::clone(progress));
    let part = blocking(move || Part::create(&path, page_size, count, shared)).await?;
    progress.begin(TransferPhase::Receiving, total);
    let (part, outcome) = session.pull(&hashes, part).await;
    progress.end();
    let transferred = outcome?.expect("BUG: a part takes every page");
    let root = part.verify(leaves, first)?;
    point("pull.received")?;
    Ok(ReceivedImage { part, root, transferred })
}
