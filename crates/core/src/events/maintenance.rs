//! What is left to do in steps, each a request of the writer: removing the events of logs that were emptied, and bringing
//! a database of the first layout up to date. A step is one commit, so it may end anywhere and goes on there.

use super::{
    arrivals, first_layout,
    schema::{Later, has_tables},
    store::StoreRow,
};
use crate::sql::Sql;

/// Events that are removed at once; the rest of a longer log goes in steps of as many.
const STEP_EVENTS: i64 = 2_000;

/// How far the work has come; what a program that begins anew has forgotten it finds again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceProgress {
    /// The first store that may still have to be moved.
    from: Box<str>,
}

/// Whether there is something to do.
///
/// # Errors
/// What storage reports.
pub fn is_due<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    if !has_tables(sql)? {
        return first_layout::is_first(sql);
    }
    Ok(next_dropped(sql)?.is_some() || first_layout::is_moving(sql)?)
}

/// Does one step; true if there is more to do.
///
/// # Errors
/// What storage reports.
pub fn step<S: Sql>(sql: &S, progress: &mut MaintenanceProgress) -> Result<bool, S::Error> {
    first_layout::take_over(sql)?;
    if let Some(number) = next_dropped(sql)? {
        if delete_some(sql, number)? < STEP_EVENTS {
            sql.execute("DELETE FROM _ferry_event_dropped WHERE number = ?1", &[number.into()])?;
        }
        return Ok(true);
    }
    match first_layout::step(sql, &progress.from)? {
        Some(from) => {
            progress.from = from;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Removes the events of a log, so many at once that the writer is not held up; the rest is left to [`step`]. The caller
/// gives the store another number.
pub(super) fn drop_log<S: Sql>(sql: &S, row: &StoreRow) -> Result<(), S::Error> {
    first_layout::forget(sql, &row.key)?;
    arrivals::forget(sql, row.key.number)?;
    if delete_some(sql, row.key.number)? == STEP_EVENTS {
        Later::Dropped.make(sql)?;
        sql.execute("INSERT INTO _ferry_event_dropped VALUES (?1)", &[row.key.number.into()])?;
    }
    Ok(())
}

fn next_dropped<S: Sql>(sql: &S) -> Result<Option<i64>, S::Error> {
    if !Later::Dropped.exists(sql)? {
        return Ok(None);
    }
    sql.first("SELECT number FROM _ferry_event_dropped LIMIT 1", &[], |row| Ok(row.integer(0)?))
}

fn delete_some<S: Sql>(sql: &S, number: i64) -> Result<i64, S::Error> {
    let text = "DELETE FROM _ferry_events WHERE store = ?1 AND seq_num IN
                    (SELECT seq_num FROM _ferry_events WHERE store = ?1 ORDER BY seq_num LIMIT ?2)";
    let deleted = sql.execute(text, &[number.into(), STEP_EVENTS.into()])?;
    Ok(i64::try_from(deleted).unwrap_or(i64::MAX))
}
