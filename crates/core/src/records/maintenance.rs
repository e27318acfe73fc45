//! What time does to records: incomplete ones are given up waiting for, tombstones and notes are forgotten (REC-07,
//! REC-40, REC-41), an owner's records replaced, epochs begun (REC-44).

use ferry_protocol::records::UnixNanos;
use ferry_types::limits::{RECORDS_TOMBSTONE_LAST_FACTOR, RECORDS_TOMBSTONE_MIN_MS};

use super::{
    cursors, damaged,
    intents::Touched,
    merge::Draft,
    record::{DELETED_AT, Fields},
    store::{Forget, FullKey, RecordKey, RecordMaintenance, RecordRow, TombstonesDue},
};

/// Records that one run of [`run`] handles of each kind; the rest waits for the next one.
const RUN_MAX_RECORDS: i64 = 1000;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// `records.tombstone_days`.
    pub tombstone_days: i64,
    /// `records.history_days`.
    pub history_days: i64,
}

impl Keep {
    /// After how many days everything goes that waits for devices.
    const fn last_days(self) -> i64 {
        self.tombstone_days.saturating_mul(RECORDS_TOMBSTONE_LAST_FACTOR)
    }
}

/// Purges and forgets what is due, in the running transaction.
///
/// # Errors
/// What storage reports.
pub fn run<S: RecordMaintenance>(store: &S, now: UnixNanos, keep: Keep) -> Result<(), S::Error> {
    let days = |days: i64| now.plus_ms(days.saturating_mul(-DAY_MS));
    purge(
        store,
        &TombstonesDue {
            newest: now.plus_ms(-RECORDS_TOMBSTONE_MIN_MS),
            oldest: days(keep.last_days()),
            seen_since: days(keep.tombstone_days),
            limit: RUN_MAX_RECORDS,
        },
    )?;
    store.forget(&Forget {
        history: days(keep.history_days),
        history_limit: RUN_MAX_RECORDS * 10,
        stamps: days(keep.history_days),
        conflicts: days(keep.tombstone_days),
        devices: days(keep.last_days()),
    })
}

/// Tombstones that every device has passed, or that waited long enough, become a bare note of the id.
fn purge<S: RecordMaintenance>(store: &S, due: &TombstonesDue) -> Result<(), S::Error> {
    for tombstone in store.tombstones(due)? {
        let end = match &tombstone.row {
            Some(row) => end(row).map_err(damaged)?,
            None => None,
        };
        store.purge(&tombstone, end.as_ref().map(|(at, writer)| (*at, &**writer)))?;
    }
    Ok(())
}

/// When and by whom a record was deleted.
fn end(row: &RecordRow) -> Result<Option<(UnixNanos, String)>, super::record::BadMeta> {
    for field in Fields::read(&row.data, &row.meta, row.cts)? {
        let field = field?;
        if field.key == DELETED_AT {
            return Ok(Some((field.at, field.writer.to_owned())));
        }
    }
    Ok(None)
}

/// Records that have waited for their insert since `due` are complete as they are, in the running transaction (REC-07):
/// clients of the first generation send of an add and an edit only the last. Returns the collections of those that are
/// delivered from now on.
///
/// # Errors
/// What storage reports.
pub fn complete_waiting<S: RecordMaintenance>(
    store: &S,
    due: UnixNanos,
    now: UnixNanos,
) -> Result<Vec<Touched>, S::Error> {
    let mut touched = Vec::new();
    for FullKey { owner, app, coll, id } in store.take_incomplete(due, RUN_MAX_RECORDS)? {
        let mut state = store.owner(&owner)?;
        let key = RecordKey { coll: &coll, id: &id };
        let row = store.read(&owner, &app, &[key])?.pop().flatten();
        let mut draft = Draft::new(key, row.as_ref()).map_err(damaged)?;
        draft.complete();
        let out = draft.finish(state.next_cts(now), None);
        store.write(&owner, &app, &[out])?;
        let collection = (owner, app, coll);
        if !touched.contains(&collection) {
            touched.push(collection);
        }
    }
    Ok(touched)
}

/// Removes the records of an owner whose devices go on: their next pull gives them everything.
///
/// # Errors
/// What storage reports.
pub fn clear_owner<S: RecordMaintenance>(store: &S, owner: &str, now: UnixNanos) -> Result<(), S::Error> {
    let mut state = store.owner(owner)?;
    store.remove_owner(owner)?;
    store.set_horizon(owner, state.next_cts(now), state.generation)
}

/// Begins an epoch: acknowledged writes may be lost, so that every cursor given out before `now` leads to a full
/// pass.
///
/// # Errors
/// What storage reports.
pub fn begin_epoch<S: RecordMaintenance>(store: &S, epoch: &str, now: UnixNanos) -> Result<(), S::Error> {
    store.set_epoch(epoch)?;
    store.forget_runs()?;
    store.raise_horizons(cursors::cts_at(now))
}
