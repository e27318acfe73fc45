//! Whether a cursor is one of this log, and the beginning of a new epoch (OPS-30 to OPS-33).

use ferry_protocol::ops::EpochPolicy;
use ferry_types::OpSeq;

use super::{
    meta::{self, LogMeta, MetaKey},
    row,
    schema::{self, DERIVED},
    stamp,
};
use crate::sql::Sql;

const AT: &str = "SELECT id FROM _ferry_ops WHERE op_seq = ?1";
const DROPPED: &str = "SELECT op_seq FROM _ferry_op_seen WHERE id = ?1";

/// Where somebody believes to stand, and in which log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CursorClaim<'a> {
    /// Whose log; `None` or empty: any.
    pub hub_id: Option<&'a str>,
    /// Its epoch; `None` or empty: any.
    pub epoch: Option<&'a str>,
    /// The last number seen.
    pub after: OpSeq,
    /// The id of the op with that number.
    pub after_id: Option<&'a str>,
    /// The stamp that the log gave that op (see [`stamp`]); `None` or empty: not known.
    pub after_stamp: Option<&'a str>,
}

/// Why a cursor is none of this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRefusal {
    /// Another log, or another epoch of it.
    EpochChanged {
        /// What the spoke shall do.
        policy: EpochPolicy,
    },
    /// The log lacks what the cursor has seen: an older file was put back.
    Diverged,
    /// What follows the cursor was dropped in part.
    SnapshotRequired {
        /// The highest number dropped.
        floor: OpSeq,
    },
}

/// Whether the log is the one that is meant.
///
/// # Errors
/// Why not.
pub fn prove_log(meta: &LogMeta, hub_id: Option<&str>, epoch: Option<&str>) -> Result<(), LogRefusal> {
    let is_other =
        |claim: Option<&str>, own: &str| claim.is_some_and(|claim| !claim.is_empty() && claim != own);
    if is_other(hub_id, &meta.hub_id) || is_other(epoch, &meta.epoch) {
        return Err(LogRefusal::EpochChanged { policy: policy(meta) });
    }
    Ok(())
}

/// What spokes of an older epoch shall do.
#[must_use]
pub fn policy(meta: &LogMeta) -> EpochPolicy {
    if meta.policy == EpochPolicy::Discard.as_str() { EpochPolicy::Discard } else { EpochPolicy::Repush }
}

/// Whether a cursor is one of this log, in this order: epoch, head, floor, proof (OPS-32).
///
/// # Errors
/// What storage reports.
pub fn prove_cursor<S: Sql>(
    sql: &S,
    meta: &LogMeta,
    claim: &CursorClaim<'_>,
) -> Result<Result<(), LogRefusal>, S::Error> {
    if let Err(refusal) = prove_log(meta, claim.hub_id, claim.epoch) {
        return Ok(Err(refusal));
    }
    if claim.after > meta.head {
        return Ok(Err(LogRefusal::Diverged));
    }
    if claim.after < meta.floor {
        return Ok(Err(LogRefusal::SnapshotRequired { floor: meta.floor }));
    }
    if claim.after == OpSeq(0) {
        return Ok(Ok(()));
    }
    let is_proven = match claim.after_id.filter(|id| !id.is_empty()) {
        Some(id) => is_or_was_at(sql, claim.after, id)?,
        None => true,
    };
    let is_proven = is_proven
        && match claim.after_stamp.filter(|stamp| !stamp.is_empty()) {
            // A log that was put back may have got the op again, under the same number, behind others than before.
            Some(claimed) => stamp::at(sql, claim.after)?.is_none_or(|known| known == claimed),
            None => true,
        };
    Ok(if is_proven { Ok(()) } else { Err(LogRefusal::Diverged) })
}

/// Whether the op `id` has this number, or was dropped with it.
fn is_or_was_at<S: Sql>(sql: &S, seq: OpSeq, id: &str) -> Result<bool, S::Error> {
    if sql.first(AT, &[seq.into()], |row| Ok(row.text(0)? == id))? == Some(true) {
        return Ok(true);
    }
    Ok(sql.first(DROPPED, &[id.into()], |row| Ok(row::seq_of(row.integer(0)?)?))? == Some(seq))
}

/// Gives the log of a copy of the store, if there is one, an identity of its own: two logs that diverge never share one.
///
/// # Errors
/// What storage reports.
pub fn fork<S: Sql>(sql: &S, hub_id: &str, epoch: &str) -> Result<(), S::Error> {
    if schema::exists(sql)? && meta::read(sql)?.is_some() {
        meta::set(sql, MetaKey::HubId, hub_id)?;
        meta::set(sql, MetaKey::Epoch, epoch)?;
    }
    Ok(())
}

/// Begins a new epoch: spokes push again what the log lacks, or, as the operator decides, drop what was acknowledged and
/// begin with an empty log (OPS-31). What is in quarantine, and whose origins are, stays.
///
/// # Errors
/// What storage reports.
pub fn begin_epoch<S: Sql>(sql: &S, epoch: &str, policy: EpochPolicy) -> Result<(), S::Error> {
    if policy == EpochPolicy::Discard {
        for table in DERIVED.iter().chain(&["_ferry_ops", "_ferry_op_seen"]) {
            sql.execute(&format!("DELETE FROM {table}"), &[])?;
        }
        for key in [MetaKey::Head, MetaKey::Floor, MetaKey::FloorStamp, MetaKey::PurgeHlc] {
            meta::remove(sql, key)?;
        }
    }
    meta::set(sql, MetaKey::Epoch, epoch)?;
    meta::set(sql, MetaKey::Policy, policy.as_str())
}
