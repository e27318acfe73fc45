//! How long before-images are kept: as long as a session is pinned to a version that needs them, and otherwise
//! up to a share of the database. The oldest go first, in whole segments.

use rusqlite::Connection;

use super::{Replica, ReplicaConfig, VersionInfo, index, replica::lock};
use crate::Result;

/// Small databases keep at least this much.
const HISTORY_MIN_BYTES: u64 = 16 << 20;

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

/// Drops what is over the budget.
pub(super) fn run(replica: &Replica, writer: &Connection) -> Result<()> {
    let segments = replica.segments.list()?;
    let budget = budget(&replica.config, &replica.current());
    let _held = lock(&replica.retention);
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
            Some(newest) => {
                writer.execute_batch("BEGIN IMMEDIATE")?;
                let cut = index::cut_history(writer, newest);
                writer.execute_batch(if cut.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
                cut?;
            }
            None => {}
        }
        replica.segments.remove(id)?;
        bytes -= size;
    }
    Ok(())
}
