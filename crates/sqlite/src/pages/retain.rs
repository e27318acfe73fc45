//! How long before-images are kept (PAG-49): as long as a session is pinned to a version that needs them; otherwise ever fewer
//! as they grow old, for a number of days, and up to a share of the database. What goes leaves holes in segments, whose rest
//! is then written anew.

use std::collections::BTreeSet;

use ferry_types::UnixMillis;
use rusqlite::Connection;

use super::{
    Replica, ReplicaConfig, VersionInfo, damage, index,
    replica::{STAGE, lock},
    segment::SegmentPosition,
};
use crate::{Error, Result, fault};

/// Small databases keep at least this much.
const HISTORY_MIN_BYTES: u64 = 16 << 20;
const DAY_MS: i64 = 24 * 3_600_000;
/// Images that are moved to another segment in one go.
const MOVED_AT_ONCE: u32 = 4096;

/// Bytes of before-images that are kept beyond what sessions need.
pub(super) fn budget(config: &ReplicaConfig, info: &VersionInfo) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a size; out of range it saturates"
    )]
    let share = (info.bytes() as f64 * config.history_ratio) as u64;
    share.max(HISTORY_MIN_BYTES)
}

impl Replica {
    /// Drops what is due to be dropped, of the stage and of the history.
    ///
    /// # Errors
    /// When a file cannot be written or removed.
    pub fn maintain(&self) -> Result<()> {
        if self.dir.join(STAGE).is_dir() {
            self.expire_stage()?;
        }
        run(self, &lock(&self.writer))
    }
}

/// Drops what need not be kept.
pub(super) fn run(replica: &Replica, writer: &Connection) -> Result<()> {
    let mut thinning = lock(&replica.retention);
    damage::cut_damaged(replica, writer)?;
    let now = replica.clock.now();
    let mut touched = BTreeSet::new();
    transaction(writer, true, || {
        touched = thinning.run(writer, now, |version| replica.is_pinned(version))?;
        Ok(())
    })?;
    cut_by_age(replica, writer, now, &mut touched)?;
    compact(replica, writer, &touched)?;
    cut_by_budget(replica, writer)
}

/// Runs `work` in a transaction, if it is `relaxed` in one whose loss with the power does no harm.
fn transaction<T>(writer: &Connection, relaxed: bool, work: impl FnOnce() -> Result<T>) -> Result<T> {
    index::relax(writer, relaxed)?;
    // Begun as one that reads: nothing is locked or written if there is nothing to do.
    writer.execute_batch("BEGIN")?;
    let done = work();
    writer.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    done
}

/// Cuts what is older than the days for which versions are kept.
fn cut_by_age(
    replica: &Replica,
    writer: &Connection,
    now: UnixMillis,
    touched: &mut BTreeSet<u32>,
) -> Result<()> {
    let days = i64::from(replica.config.history_days);
    let oldest = index::version_made_from(writer, UnixMillis(now.0.saturating_sub(days * DAY_MS)))?;
    let oldest = oldest.unwrap_or(u64::MAX).min(replica.oldest_needed());
    if index::oldest(writer)?.is_none_or(|info| info.version >= oldest) {
        return Ok(());
    }
    touched.extend(index::segments_up_to(writer, oldest)?);
    transaction(writer, true, || index::cut_history(writer, oldest))
}

/// Writes what is left of these segments anew where that is less than half of them.
fn compact(replica: &Replica, writer: &Connection, touched: &BTreeSet<u32>) -> Result<()> {
    let Some((newest, _)) = replica.segments.list()?.last().copied() else { return Ok(()) };
    // The newest is still appended to, and its number must not be given again.
    for id in touched.iter().copied().filter(|id| *id != newest) {
        match compact_one(replica, writer, id) {
            // What is damaged is not moved; the history ends there.
            Err(Error::Refused(_)) => damage::cut_damaged(replica, writer)?,
            done => done?,
        }
    }
    Ok(())
}

fn compact_one(replica: &Replica, writer: &Connection, id: u32) -> Result<()> {
    let whole = SegmentPosition { segment: id, offset: 0, slot: 0 };
    let unreadable = |error| replica.unreadable(replica.current().version, whole, error);
    let (live, all) = (index::live_bytes(writer, id)?, replica.segments.raw_bytes(id).map_err(unreadable)?);
    if live * 2 > all {
        return Ok(());
    }
    while move_images(replica, writer, id)? {}
    fault::point("compact.moved")?;
    replica.segments.remove(id)
}

/// Moves some images of a segment to the newest one; false once it has none.
fn move_images(replica: &Replica, writer: &Connection, id: u32) -> Result<bool> {
    let images = index::images_of(writer, id, MOVED_AT_ONCE)?;
    if images.is_empty() {
        return Ok(false);
    }
    let mut segment = replica.segments.append(budget(&replica.config, &replica.current()))?;
    let (mut frame, mut at) = (Vec::new(), None);
    let mut moved = Vec::with_capacity(images.len());
    for image in images {
        let SegmentPosition { offset, slot, .. } = image.position;
        if at != Some(offset) {
            let read = replica.segments.read_frame(id, offset, &mut frame);
            read.map_err(|error| replica.unreadable(image.version, image.position, error))?;
            at = Some(offset);
        }
        let from = slot as usize * image.page_bytes;
        let data = frame.get(from..from + image.page_bytes);
        let data = data.ok_or_else(|| {
            let error = Error::Damaged("a segment lacks a page".into());
            replica.unreadable(image.version, image.position, error)
        })?;
        moved.push((image.page, image.version, segment.add(data)?));
    }
    segment.finish()?;
    // On disk before the file goes that they come from.
    transaction(writer, false, || {
        moved.iter().try_for_each(|(page, version, to)| index::move_before(writer, *page, *version, *to))
    })?;
    Ok(true)
}

/// Cuts the oldest until the rest is within the budget.
fn cut_by_budget(replica: &Replica, writer: &Connection) -> Result<()> {
    let segments = replica.segments.list()?;
    let budget = budget(&replica.config, &replica.current());
    let oldest_needed = replica.oldest_needed();
    let mut bytes: u64 = segments.iter().map(|(_, bytes)| bytes).sum();
    for (id, size) in segments {
        if bytes <= budget {
            break;
        }
        match index::segment_version(writer, id)? {
            // A session reads a version that this segment's images lead back to.
            Some(newest) if newest > oldest_needed => break,
            // Every older version ends with it: none is served in part.
            Some(newest) => transaction(writer, false, || index::cut_history(writer, newest))?,
            None => {}
        }
        replica.segments.remove(id)?;
        bytes -= size;
    }
    Ok(())
}
