//! What an operator does to a whole store (section 2.10). Each runs inside one request of the writer (EVT-45).

use super::{
    ahead, arrivals, hook_position, idempotency,
    identity::{self, IdentityChange},
    log, maintenance,
    store::{self, StoreRow, StoreState},
};
use crate::sql::Sql;

/// Empties the log and gives the store a new identity. Times go on from where they were (EVT-10).
///
/// # Errors
/// What storage reports.
pub fn reset<S: Sql>(sql: &S, row: &mut StoreRow, change: &IdentityChange<'_>) -> Result<(), S::Error> {
    identity::remint(sql, row, change)?;
    empty(sql, row, change)
}

/// Drops the log. The row stays, so that no connection makes the store again by accident.
///
/// # Errors
/// What storage reports.
pub fn delete<S: Sql>(sql: &S, row: &mut StoreRow, change: &IdentityChange<'_>) -> Result<(), S::Error> {
    row.state = StoreState::Deleted;
    super::store::set_state(sql, &row.key.id, StoreState::Deleted)?;
    empty(sql, row, change)
}

/// Makes a deleted store again, empty, with a new identity.
///
/// # Errors
/// What storage reports.
pub fn revive<S: Sql>(sql: &S, row: &mut StoreRow, change: &IdentityChange<'_>) -> Result<(), S::Error> {
    identity::remint(sql, row, change)
}

/// Lets the head follow the log, as far as that goes back: what is lost is lost. For a store on hold whose operator
/// has decided.
///
/// # Errors
/// What storage reports.
pub fn follow_log<S: Sql>(sql: &S, row: &mut StoreRow) -> Result<(), S::Error> {
    arrivals::file_store(sql, row.key.number)?;
    row.head = log::newest_filed(sql, &row.key)?.map_or(row.base, |newest| newest.seq_num);
    row.event_count = log::count(sql, &row.key, 0, row.head)?;
    let text = "UPDATE _ferry_event_logs SET head = ?2, event_count = ?3 WHERE store_id = ?1";
    sql.execute(text, &[(*row.key.id).into(), row.head.into(), row.event_count.into()])?;
    hook_position::cap(sql, &row.key.id, row.head)?;
    idempotency::cap(sql, &row.key.id, row.head)
}

/// Ends a hold, or what would lead to one, under the identity that the store has.
///
/// # Errors
/// What storage reports.
pub fn resume<S: Sql>(sql: &S, row: &mut StoreRow) -> Result<(), S::Error> {
    follow_log(sql, row)?;
    ahead::forget(sql, &row.key.id)?;
    row.state = StoreState::Ok;
    store::set_state(sql, &row.key.id, StoreState::Ok)
}

/// Ends a hold, or none, under a new identity.
///
/// # Errors
/// What storage reports.
pub fn remint<S: Sql>(sql: &S, row: &mut StoreRow, change: &IdentityChange<'_>) -> Result<(), S::Error> {
    follow_log(sql, row)?;
    identity::remint(sql, row, change)
}

/// Gives every store of a copy of the database an identity of its own: two logs that diverge never share one. What is on hold
/// stays so; a deleted store gets one if it is ever made again. Of `change`, the new identity is drawn anew for each.
///
/// # Errors
/// What storage reports, or `draw`.
pub fn remint_all<S: Sql>(
    sql: &S,
    change: &IdentityChange<'_>,
    draw: &mut dyn FnMut() -> Result<String, S::Error>,
) -> Result<(), S::Error> {
    for mut row in store::list(sql)? {
        let state = row.state;
        if state == StoreState::Deleted {
            continue;
        }
        let new_id = draw()?;
        remint(sql, &mut row, &IdentityChange { new_id: &new_id, ..*change })?;
        if state == StoreState::Hold {
            store::set_state(sql, &row.key.id, StoreState::Hold)?;
        }
    }
    Ok(())
}

/// Begins an empty log, and forgets what was about the events of the old one.
fn empty<S: Sql>(sql: &S, row: &mut StoreRow, change: &IdentityChange<'_>) -> Result<(), S::Error> {
    maintenance::drop_log(sql, row)?;
    row.key.number = change.number();
    (row.head, row.base, row.event_count, row.bytes) = (0, 0, 0, 0);
    let text = "UPDATE _ferry_event_logs SET number = ?2, head = 0, base = 0, event_count = 0, bytes = 0
                WHERE store_id = ?1";
    sql.execute(text, &[(*row.key.id).into(), row.key.number.into()])?;
    ahead::forget(sql, &row.key.id)?;
    hook_position::forget(sql, &row.key.id)?;
    idempotency::forget(sql, &row.key.id)
}
