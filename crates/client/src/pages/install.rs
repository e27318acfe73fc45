//! Putting a received image in its place, and remembering it. Everything here may block.

use std::path::Path;

use ferry_types::Root;
use rusqlite::OptionalExtension as _;

use super::receive::Replaced;
use crate::{
    ClientError, Result,
    pages::file::{
        ImageDigests, LocalImage, OpenedFile, Part, SyncState, Synced, apply,
        image::{FileAccess, connect},
        point,
        state::PendingPull,
    },
    progress::{Progress, Silent, TransferPhase},
};

/// Puts the verified image in its place and records `synced`, the version from inside the image if it is a hub
/// database's (`carries_seq`). What is returned is what was recorded.
pub(super) fn install_and_record(
    file: &Path,
    replaced: Replaced,
    part: Part,
    mut synced: Synced,
    carries_seq: bool,
    progress: &dyn Progress,
) -> Result<Synced> {
    let leaves = part.leaves().to_vec();
    let before_commit = |interim| {
        SyncState::create(file)?.set_pending(&PendingPull { synced: synced.clone(), interim })?;
        point("pull.pending")
    };
    install(file, replaced, part, synced.root, progress, before_commit)?;
    if carries_seq {
        synced.version = seq_inside(file).or(synced.version);
    }
    SyncState::create(file)?.record(&synced, &leaves)?;
    point("pull.state")?;
    Ok(synced)
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
) -> Result<()> {
    progress.begin(TransferPhase::Applying, None);
    match replaced {
        Replaced::Nothing => {
            part.rename_to(file)?;
            confirm(file, root)?;
        }
        // Equal content: only SQLite's own counters on page 1 may differ, and those stay the file's.
        Replaced::Image { scan, .. } if scan.root == root => {}
        // The part need not reach the disk: after a crash of the machine it is received again.
        Replaced::Image { base, .. } if base.page_size() == part.page_size() => {
            point("pull.part")?;
            before_commit(None)?;
            apply::in_place(&base, &part, progress)?;
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
        }
    }
    progress.end();
    Ok(())
}

/// Reads a file that was just made as every program will, through SQLite: it must show what was received, whatever lies
/// beside it.
fn confirm(file: &Path, root: Root) -> Result<()> {
    let found = match LocalImage::open(file, FileAccess::Ordinary)? {
        OpenedFile::Image(image) => Some(ImageDigests::of(&image, &Silent)?.root),
        OpenedFile::Missing | OpenedFile::Empty => None,
    };
    if found == Some(root) {
        return Ok(());
    }
    Err(ClientError::unverified(format!(
        "SQLite reads {} as something else than what was received: remove it and what lies beside it ({0}-wal, \
         {0}-journal, {0}-shm), then try again",
        file.display()
    )))
}

/// The commit number that a hub database carries inside.
fn seq_inside(file: &Path) -> Option<u64> {
    let connection = connect(file, FileAccess::ReadOnly).ok()?;
    connection
        .query_row("SELECT value FROM _ferry_meta WHERE key = 'seq'", [], |row| row.get(0))
        .optional()
        .ok()
        .flatten()
}
