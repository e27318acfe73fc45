//! A history of which a part cannot be read any more: a segment is torn, or holds something else than was written. What
//! needed that part is gone, and everything before it; newer versions are served as ever.

use std::{io, sync::TryLockError};

use ferry_types::Reason;
use rusqlite::Connection;

use super::{
    Replica, index,
    replica::lock,
    segment::{SegmentPosition, Segments},
};
use crate::{Error, Result};

/// What the index keeps of it: the oldest version that is left.
const META: &str = "damaged_before";

/// Whether a segment itself is at fault, not the way to it.
fn is_damage(error: &Error) -> bool {
    match error {
        Error::Damaged(_) => true,
        Error::Io(error) => error.kind() == io::ErrorKind::NotFound,
        Error::Sqlite(_) | Error::Refused(_) | Error::Panicked(_) => false,
    }
}

/// What a reader is told.
pub(super) fn gone(version: u64) -> Error {
    let message = format!(
        "version {version} cannot be read any more: a part of this database's history was damaged on the hub's disk"
    );
    ferry_types::Error::new(Reason::VersionGone, message).into()
}

impl Replica {
    /// What to say of `error`, met at a before-image of `version`. If the image is damaged its history ends, now if nobody
    /// commits, else with the next commit.
    pub(super) fn unreadable(&self, version: u64, at: SegmentPosition, error: Error) -> Error {
        if !is_damage(&error) {
            return error;
        }
        tracing::error!(%error, version, "the history is damaged: older versions are gone");
        lock(&self.damaged).insert((at.segment, at.offset));
        let index = match self.writer.try_lock() {
            Ok(index) => index,
            Err(TryLockError::Poisoned(index)) => index.into_inner(),
            Err(TryLockError::WouldBlock) => return gone(version),
        };
        let _held = lock(&self.retention);
        if let Err(error) = cut_damaged(self, &index) {
            tracing::warn!(%error, "a damaged history was not cut; it is tried again");
        }
        gone(version)
    }

    /// Whether the history ends at its oldest version because what was before it was damaged.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn is_cut_by_damage(&self) -> Result<bool> {
        self.with_index(|index| {
            let (oldest, cut) = (index::oldest(index)?, index::meta(index, META)?);
            Ok(oldest.zip(cut).is_some_and(|(oldest, cut)| cut == oldest.version.to_string()))
        })
    }
}

/// Takes off the list what needs frames that were found damaged. The caller holds the history.
pub(super) fn cut_damaged(replica: &Replica, writer: &Connection) -> Result<()> {
    let found = lock(&replica.damaged).clone();
    for (segment, offset) in &found {
        let end = bytes_of(&replica.segments, *segment)?;
        let Some(oldest) = version_of_frames(writer, *segment, *offset, end)? else { continue };
        index::relax(writer, false)?;
        let transaction = writer.unchecked_transaction()?;
        index::cut_history(writer, oldest)?;
        index::set_meta(writer, META, &oldest.to_string())?;
        transaction.commit()?;
    }
    lock(&replica.damaged).retain(|frame| !found.contains(frame));
    Ok(())
}

/// The newest version that replaced an image in one of these frames of a segment: that at `offset`, and all that begin where
/// the segment ends or behind.
fn version_of_frames(index: &Connection, segment: u32, offset: u64, end: u64) -> Result<Option<u64>> {
    let sql = "SELECT max(version) FROM before WHERE seg = ?1 AND (offset = ?2 OR offset >= ?3)";
    Ok(index.prepare_cached(sql)?.query_row((segment, offset, end), |row| row.get(0))?)
}

/// Where a segment ends; 0 if it is missing.
fn bytes_of(segments: &Segments, id: u32) -> Result<u64> {
    Ok(segments.list()?.into_iter().find(|(found, _)| *found == id).map_or(0, |(_, bytes)| bytes))
}
