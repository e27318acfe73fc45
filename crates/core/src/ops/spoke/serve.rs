//! A store that is a hub itself (mode `server` of OPS-60), and its way back. Both are the same tables: what a hub has beside
//! a spoke is an identity of the log, and the conflicts that no other hub recorded.

use ferry_types::OriginId;

use super::{SpokeStep, log, peer};
use crate::{
    ops::{
        merge::{self, NewConflict},
        meta::{self, MetaKey},
        origins, schema,
    },
    sql::{Damaged, Sql},
};

/// Makes a prepared store a hub's: its log gets an identity, unless it has one, and every conflict that it holds is
/// recorded. Gives the store's origin.
///
/// # Errors
/// What storage reports.
pub fn begin_serving<S: Sql>(sql: &S, step: &mut SpokeStep<'_>) -> Result<OriginId, S::Error> {
    if meta::read(sql)?.is_none() {
        let hub_id = format!("{:016x}{:016x}", (step.random)(), (step.random)());
        let epoch = format!("{:016x}", (step.random)());
        meta::begin(sql, &hub_id, &epoch)?;
    }
    schema::create_shim_index(sql)?;
    // Whose an origin is was said of credentials that this hub may not have any more: all who are let in share one.
    origins::forget_all(sql)?;
    for NewConflict { op, raw } in merge::record_conflicts(sql)? {
        log::insert_unmerged(sql, &op, &raw, step)?;
    }
    Ok(meta::origin(sql)?.ok_or(Damaged { column: 0, expected: "an origin" })?)
}

/// Makes a store that may have been a hub's a spoke's again, before it meets a hub: that one is given all that was
/// written here and elsewhere meanwhile.
///
/// # Errors
/// What storage reports.
pub fn end_serving<S: Sql>(sql: &S) -> Result<(), S::Error> {
    if meta::read(sql)?.is_none() {
        return Ok(());
    }
    // Whoever followed this log is not to take what comes from another hub for its continuation.
    for key in [MetaKey::HubId, MetaKey::Epoch, MetaKey::Policy] {
        meta::remove(sql, key)?;
    }
    meta::set(sql, MetaKey::Served, "1")?;
    peer::repush(sql)
}

/// Whether the store was a hub's, and the hub that it meets first must be given everything.
pub(super) fn was_serving<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    Ok(meta::get(sql, MetaKey::Served)?.is_some())
}

/// It was given everything.
pub(super) fn gave_all<S: Sql>(sql: &S) -> Result<(), S::Error> {
    meta::remove(sql, MetaKey::Served)
}
