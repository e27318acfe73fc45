//! The events of one store, as the file holds them: under the store's number, and the rest of them, while a database of
//! the first layout is brought up to date, in a table of that layout. Both are read as one.

use std::{borrow::Cow, ops::ControlFlow};

use ferry_protocol::events::EventRef;

use super::{first_layout, store_key::StoreKey};
use crate::sql::{Damaged, Row, Sql};

const PAGE: &str = "SELECT seq_num, parent_seq_num, name, args, created_at, client_id, session_id, commit_seq
    FROM _ferry_events WHERE store = ?1 AND seq_num > ?2 AND seq_num <= ?3 ORDER BY seq_num LIMIT ?4";
const COUNT: &str = "SELECT count(*) FROM _ferry_events WHERE store = ?1 AND seq_num > ?2 AND seq_num <= ?3";
const NEWEST: &str = "SELECT seq_num, created_at, commit_seq FROM _ferry_events WHERE store = ?1
    ORDER BY seq_num DESC LIMIT 1";
pub(super) const INSERT: &str =
    "INSERT INTO _ferry_events(store, seq_num, parent_seq_num, name, args, created_at, client_id, session_id,
        commit_seq, principal) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// The newest event of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its number.
    pub seq_num: i64,
    /// When it was committed.
    pub created_at: Box<str>,
    /// The commit that appended it.
    pub commit_seq: i64,
}

/// What [`each_event`] hands an event and the number of its commit to; it may break off.
pub type EachEvent<'a, E> = dyn FnMut(&EventRef<'_>, i64) -> Result<ControlFlow<()>, E> + 'a;

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
    sql.query(&text, &range, &mut |row| each(&event(row)?, row.integer(7)?))
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
    Ok(counted.unwrap_or(0))
}

/// The newest event. Wants one snapshot.
///
/// # Errors
/// What storage reports.
pub fn newest<S: Sql>(sql: &S, key: &StoreKey) -> Result<Option<Newest>, S::Error> {
    let text = match first_layout::rest_of(sql, key)? {
        None => Cow::Borrowed(NEWEST),
        Some(rest) => first_layout::newest(&rest).into(),
    };
    sql.first(&text, &[key.number.into()], |row| {
        Ok(Newest { seq_num: row.integer(0)?, created_at: row.text(1)?.into(), commit_seq: row.integer(2)? })
    })
}

fn event(row: &dyn Row) -> Result<EventRef<'_>, Damaged> {
    Ok(EventRef {
        seq_num: row.integer(0)?,
        parent_seq_num: row.integer(1)?,
        name: row.text(2)?,
        args: row.optional_text(3)?,
        created_at: row.text(4)?,
        client_id: row.text(5)?,
        session_id: row.text(6)?,
    })
}
