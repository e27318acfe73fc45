//! Putting a received image in its place, and remembering it. Everything here may block.

use std::path::Path;

use ferry_sqlite::pages::dbpage::CommittedPages;
use ferry_types::{Root, UnixMillis};

use crate::{
    ClientError, Result,
    pages::file::{
        Base, BaseCopy, FileMark, ImageDigests, ImageTree, LocalImage, OpenedFile, Part, SyncState, Synced,
        apply, image::FileAccess, known::open_marked, point, state::PendingPull,
    },
    progress::{Progress, Silent, TransferPhase},
};

/// What a received image replaces.
pub(super) enum Replaced {
    Nothing,
    Empty,
    Image { base: Box<Base>, root: Root },
}

impl Replaced {
    pub(super) const fn root(&self) -> Option<Root> {
        match self {
            Self::Image { root, .. } => Some(*root),
            Self::Nothing | Self::Empty => None,
        }
    }
}

/// What is to be remembered of a received image.
pub(super) struct ImageToPlace {
    pub(super) part: Part,
    pub(super) synced: Synced,
    /// The digests of the image.
    pub(super) tree: ImageTree,
    /// Whether the image is in WAL mode where it comes from; a new file is then too.
    pub(super) is_wal: bool,
    /// Whether no base copy shall be kept from now on.
    pub(super) no_base: bool,
}

/// What goes on after a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// Nothing: the next run begins with what lies on disk.
    End,
    /// The file is followed: what is needed only by a next run is left out.
    Follow,
}

/// A received image in its place.
pub(super) struct PlacedImage {
    /// The digests of the file as it is now.
    pub(super) tree: ImageTree,
    /// Of a file that was written and is followed: who knows of later commits.
    pub(super) committed: Option<CommittedPages>,
}

/// Puts the verified image in its place and records it.
pub(super) fn install_and_record(
    file: &Path,
    replaced: Replaced,
    received: ImageToPlace,
    afterwards: Afterwards,
    now: &dyn Fn() -> UnixMillis,
    progress: &dyn Progress,
) -> Result<PlacedImage> {
    let ImageToPlace { part, synced, mut tree, is_wal, no_base } = received;
    if is_wal && matches!(replaced, Replaced::Nothing) {
        part.mark_wal()?;
    }
    if no_base {
        tree.state_of(file)?.keep_no_base()?;
    }
    let keeps_base = afterwards == Afterwards::End && tree.state().map_or(Ok(true), SyncState::keeps_base)?;
    let copy = update_of_base_copy(file, &part, keeps_base)?;
    let before_commit = |interim| {
        // What a follower leaves behind when it is killed the hub knows by its root.
        if afterwards == Afterwards::Follow {
            return point("pull.pending");
        }
        tree.state_of(file)?.set_pending(&PendingPull { synced: synced.clone(), interim })?;
        point("pull.pending")
    };
    let installed = install(file, replaced, part, synced.root, progress, before_commit)?;
    let (mark, committed) = match installed {
        Installed::Made => (confirm(file, synced.root, now)?, None),
        Installed::Written(committed) if afterwards == Afterwards::End => {
            (mark_of(file, &committed, now)?, None)
        }
        Installed::Written(committed) => (None, Some(committed)),
        Installed::Rebuilt | Installed::Equal => (None, None),
    };
    tree.record_as(file, &synced, mark.as_ref())?;
    point("pull.state")?;
    copy.finish(file, keeps_base);
    Ok(PlacedImage { tree, committed })
}

/// What becomes of the base copy.
enum BaseCopyUpdate {
    /// It has the received pages already: it is no worse for that should the pull fail, since each page is compared with
    /// its leaf before it is used.
    Done,
    Make,
}

fn update_of_base_copy(file: &Path, part: &Part, keeps_base: bool) -> Result<BaseCopyUpdate> {
    let known = BaseCopy::open(file, part.page_size()).filter(|_| keeps_base);
    let Some(copy) = known else { return Ok(BaseCopyUpdate::Make) };
    let mut page = vec![0; part.page_size().bytes()];
    for (number, _) in part.received() {
        part.read(number, &mut page)?;
        if copy.write(number, &page).is_err() {
            return Ok(BaseCopyUpdate::Make);
        }
    }
    Ok(if copy.resize(part.page_count()).is_ok() { BaseCopyUpdate::Done } else { BaseCopyUpdate::Make })
}

impl BaseCopyUpdate {
    fn finish(self, file: &Path, keeps_base: bool) {
        match self {
            Self::Make if keeps_base => {
                let made = match LocalImage::open(file, FileAccess::Ordinary) {
                    Ok(OpenedFile::Image(image)) => {
                        image.leave_wal().and_then(|()| BaseCopy::create(&image)).map(drop)
                    }
                    other => other.map(drop),
                };
                if let Err(error) = made {
                    tracing::warn!("no base copy: {}; the next push sends more", error.message);
                }
            }
            Self::Make => BaseCopy::remove(file),
            Self::Done => {}
        }
    }
}

/// How an image got into its place.
pub(super) enum Installed {
    /// As a new file.
    Made,
    /// Page by page.
    Written(CommittedPages),
    /// As a whole, in an older file.
    Rebuilt,
    /// It was there.
    Equal,
}

/// Puts the verified image with this root in its place. `before_commit` is called right before an existing
/// file changes, with the root that it may have for a moment, if that is neither the old nor the new one.
pub(super) fn install(
    file: &Path,
    replaced: Replaced,
    part: Part,
    root: Root,
    progress: &dyn Progress,
    before_commit: impl FnOnce(Option<Root>) -> Result<()>,
) -> Result<Installed> {
    progress.begin(TransferPhase::Applying, None);
    let installed = match replaced {
        Replaced::Nothing => {
            part.rename_to(file)?;
            Installed::Made
        }
        // Equal content: only SQLite's own counters on page 1 may differ, and those stay the file's.
        Replaced::Image { root: known, .. } if known == root => Installed::Equal,
        // The part need not reach the disk: after a crash of the machine it is received again.
        Replaced::Image { base, .. } if base.page_size() == part.page_size() => {
            point("pull.part")?;
            before_commit(None)?;
            Installed::Written(apply::in_place(&base, &part, progress)?)
        }
        rebuilt => {
            part.mark_rollback()?;
            point("pull.part")?;
            let old = rebuilt.root();
            // Its connection would keep the file from being locked for us alone.
            drop(rebuilt);
            let target = apply::Rebuild::lock(file, old, &part)?;
            before_commit(Some(target.interim_root()))?;
            apply::rebuild(target, &part, root)?;
            Installed::Rebuilt
        }
    };
    progress.end();
    Ok(installed)
}

/// Reads a file that was just made as every program will, through SQLite: it must show what was received, whatever lies
/// beside it.
pub(super) fn confirm(file: &Path, root: Root, now: &dyn Fn() -> UnixMillis) -> Result<Option<FileMark>> {
    if let (OpenedFile::Image(image), mark) = open_marked(file, FileAccess::Ordinary, now)?
        && ImageDigests::of(&image, &Silent)?.root == root
    {
        return Ok(mark);
    }
    Err(ClientError::unverified(format!(
        "SQLite reads {} as something else than what was received: remove it and what lies beside it ({0}-wal, \
         {0}-journal, {0}-shm), then try again",
        file.display()
    )))
}

/// The mark of a file while it is what was committed.
fn mark_of(
    file: &Path,
    committed: &CommittedPages,
    now: &dyn Fn() -> UnixMillis,
) -> Result<Option<FileMark>> {
    let failed = |error: ferry_sqlite::Error| ClientError::store(file.display(), &error);
    // The connections of this run, closed as the last ones, would do so, and make the mark untrue.
    committed.checkpoint().map_err(failed)?;
    let (_held, mark) = open_marked(file, FileAccess::Ordinary, now)?;
    Ok(if committed.is_newest().map_err(failed)? { mark } else { None })
}
