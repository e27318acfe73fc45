//! What an operator does to a whole store (section 2.10). Each runs inside one request of the writer (EVT-45).

use super::{
    ahead, hook_position, idempotency,
    identity::{self, Change},
    schema::LogTable,
    store::{StoreRow, StoreState},
};
use crate::sql::Sql;

/// Empties the log and gives the store a new identity. Times go on from where they were (EVT-10).
///
/// # Errors
/// What storage reports.
pub fn reset<S: Sql>(
    sql: &S,
    row: &mut StoreRow,
    table: &LogTable,
    change: &Change<'_>,
) -> Result<(), S::Error> {
    identity::remint(sql, row, change)?;
    sql.execute(&format!("DELETE FROM \"{}\"", table.name), &[])?;
    empty(sql, row)
}

/// Drops the log. The row stays, so that no connection makes the store again by accident.
///
/// # Errors
/// What storage reports.
pub fn delete<S: Sql>(sql: &S, row: &mut StoreRow, table: &LogTable) -> Result<(), S::Error> {
    sql.execute(&format!("DROP TABLE \"{}\"", table.name), &[])?;
    row.state = StoreState::Deleted;
    super::store::set_state(sql, &row.store_id, StoreState::Deleted)?;
    empty(sql, row)
}

/// Makes a deleted store again, empty, with a new identity.
///
/// # Errors
/// What storage reports.
pub fn revive<S: Sql>(
    sql: &S,
    row: &mut StoreRow,
    table: &LogTable,
    change: &Change<'_>,
) -> Result<(), S::Error> {
    identity::remint(sql, row, change)?;
    table.create(sql)
}

/// Lets the head follow the log, as far as that goes back: what is lost is lost. For a store on hold whose operator
/// has decided.
///
/// # Errors
/// What storage reports.
pub fn follow_log<S: Sql>(sql: &S, row: &mut StoreRow, table: &LogTable) -> Result<(), S::Error> {
    let newest = sql.first(&table.newest, &[], |newest| Ok(newest.integer(0)?))?;
    row.head = newest.unwrap_or(row.base);
    let counted = sql.first(&table.count, &[0.into(), row.head.into()], |count| Ok(count.integer(0)?))?;
    row.event_count = counted.unwrap_or(0);
    let text = "UPDATE _ferry_event_stores SET head = ?2, event_count = ?3 WHERE store_id = ?1";
    sql.execute(text, &[(*row.store_id).into(), row.head.into(), row.event_count.into()])?;
    hook_position::cap(sql, &row.store_id, row.head)?;
    idempotency::cap(sql, &row.store_id, row.head)
}

/// Ends a hold, or what would lead to one, under the identity that the store has.
///
/// # Errors
/// What storage reports.
pub fn resume<S: Sql>(sql: &S, row: &mut StoreRow, table: &LogTable) -> Result<(), S::Error> {
    follow_log(sql, row, table)?;
    ahead::forget(sql, &row.store_id)?;
    row.state = StoreState::Ok;
    super::store::set_state(sql, &row.store_id, StoreState::Ok)
}

/// Ends a hold, or none, under a new identity.
///
/// # Errors
/// What storage reports.
pub fn remint<S: Sql>(
    sql: &S,
    row: &mut StoreRow,
    table: &LogTable,
    change: &Change<'_>,
) -> Result<(), S::Error> {
    follow_log(sql, row, table)?;
    identity::remint(sql, row, change)
}

/// Notes in the registry that the log is empty, and forgets what was about its events.
fn empty<S: Sql>(sql: &S, row: &mut StoreRow) -> Result<(), S::Error> {
    (row.head, row.base, row.event_count, row.bytes) = (0, 0, 0, 0);
    let text = "UPDATE _ferry_event_stores SET head = 0, base = 0, event_count = 0, bytes = 0
                WHERE store_id = ?1";
    sql.execute(text, &[(*row.store_id).into()])?;
    ahead::forget(sql, &row.store_id)?;
    hook_position::forget(sql, &row.store_id)?;
    idempotency::forget(sql, &row.store_id)
}
