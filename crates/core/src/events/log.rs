//! The events of one store, as the file holds them: under the store's number, and the rest of them, while a database of
//! the first layout is brought up to date, in a table of that layout; the newest may wait to be filed
//! (module `arrivals`). All are read as one.

use std::{borrow::Cow, ops::ControlFlow};

pub use super::event_row::{EachEvent, Newest};
use super::{arrivals, event_row::event, first_layout, store_key::StoreKey};
use crate::sql::Sql;

const PAGE: &str = "SELECT seq_num, parent_seq_num, name, args, created_at, client_id, session_id, commit_seq
    FROM _ferry_events WHERE store = ?1 AND seq_num > ?2 AND seq_num <= ?3 ORDER BY seq_num LIMIT ?4";
const COUNT: &str = "SELECT count(*) FROM _ferry_events WHERE store = ?1 AND seq_num > ?2 AND seq_num <= ?3";
const NEWEST: &str = "SELECT seq_num, created_at, commit_seq FROM _ferry_events WHERE store = ?1
    ORDER BY seq_num DESC LIMIT 1";
pub(super) const INSERT: &str =
    "INSERT INTO _ferry_events(store, seq_num, parent_seq_num, name, args, created_at, client_id, session_id,
        commit_seq, principal) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// Hands every event after `after` up to `upto` to `each`, in order, at most `limit`. Wants one snapshot.
///
/// # Errors
/// What storage or `each` reports.
pub fn each_event<S: Sql>(
    sql: &S,
    key: &StoreKey,
    (after, upto): (i64, i64),
    limit: u32,
    each: &mut EachEvent<'_, S::Error>,
) -> Result<(), S::Error> {
    let text = match first_layout::rest_of(sql, key)? {
        None => Cow::Borrowed(PAGE),
        Some(rest) => first_layout::page(&rest).into(),
    };
    let range = [key.number.into(), after.into(), upto.into(), i64::from(limit).into()];
    let (mut left, mut flow) = (limit, ControlFlow::Continue(()));
    sql.query(&text, &range, &mut |row| {
        left -= 1;
        flow = each(&event(row)?, row.integer(7)?)?;
        Ok(flow)
    })?;
    if flow.is_break() {
        return Ok(());
    }
    arrivals::each_event(sql, key, (after, upto), left, each)
}

/// Counts the events after `after` up to `upto`, one by one. Wants one snapshot.
///
/// # Errors
/// What storage reports.
pub fn count<S: Sql>(sql: &S, key: &StoreKey, after: i64, upto: i64) -> Result<i64, S::Error> {
    let text = match first_layout::rest_of(sql, key)? {
        None => Cow::Borrowed(COUNT),
        Some(rest) => first_layout::count(&rest).into(),
    };
    let counted =
        sql.first(&text, &[key.number.into(), after.into(), upto.into()], |row| Ok(row.integer(0)?))?;
    Ok(counted.unwrap_or(0) + arrivals::count(sql, key, after, upto)?)
}

/// The newest event of those that are filed. Wants one snapshot.
///
/// # Errors
/// What storage reports.
pub(super) fn newest_filed<S: Sql>(sql: &S, key: &StoreKey) -> Result<Option<Newest>, S::Error> {
    let text = match first_layout::rest_of(sql, key)? {
        None => Cow::Borrowed(NEWEST),
        Some(rest) => first_layout::newest(&rest).into(),
    };
    sql.first(&text, &[key.number.into()], |row| Ok(Newest::read(row)?))
}

/// The newest event. Wants one snapshot.
///
/// # Errors
/// What storage reports.
pub fn newest<S: Sql>(sql: &S, key: &StoreKey) -> Result<Option<Newest>, S::Error> {
    match arrivals::newest(sql, key)? {
        Some(newest) => Ok(Some(newest)),
        None => newest_filed(sql, key),
    }
}
