//! Appended events that are not filed under their stores yet. Where a database has many stores, the pushes of one group
//! are of many logs, and each would touch a page of its own: they go behind one another into one short table instead, in
//! the order in which they come, and the registry is left alone. Once [`WAITING_MAX`] events wait, the append that finds
//! them files them all, store by store, in its own transaction; so nothing is left half filed by a crash, and nothing
//! beside the writer has to go on. A log is read as what is filed, and behind it what waits.

use std::ops::ControlFlow;

use super::{
    event_row::{EachEvent, Newest, event},
    schema::{has_arrivals, renew_view},
    store_key::StoreKey,
};
use crate::sql::{Sql, Value};

/// Stores from which on a database has the table; with fewer it would save nothing.
const MANY_STORES: i64 = 8;
/// Events that wait before an append files them all: a few milliseconds of the writer.
const WAITING_MAX: i64 = 1_000;
/// Events of the longest batch that waits: a longer one fills pages of its own.
const BATCH_EVENTS_MAX: usize = 16;
/// The same in bytes.
const BATCH_BYTES_MAX: usize = 8 << 10;

/// `n` counts the events that wait. `bytes` is what the registry counts of one, `store_id` whose row that is.
const TABLE: &str = "CREATE TABLE _ferry_event_arrivals(
        n INTEGER PRIMARY KEY, store INTEGER NOT NULL, seq_num INTEGER NOT NULL, parent_seq_num INTEGER NOT NULL,
        name TEXT NOT NULL, args TEXT, created_at TEXT NOT NULL, client_id TEXT NOT NULL, session_id TEXT NOT NULL,
        commit_seq INTEGER NOT NULL, principal TEXT, bytes INTEGER NOT NULL, store_id TEXT NOT NULL) STRICT";
const INDEX: &str = "CREATE INDEX _ferry_event_arrivals_store ON _ferry_event_arrivals(store)";

/// Columns of [`INSERT`].
pub(super) const COLUMNS: usize = 12;
/// A row of the log, what the registry counts of it, and the store's id.
pub(super) const INSERT: &str =
    "INSERT INTO _ferry_event_arrivals(store, seq_num, parent_seq_num, name, args, created_at, client_id,
        session_id, commit_seq, principal, bytes, store_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// What an append looks at of its store, and how many events wait.
pub(super) const CURRENT: &str =
    "SELECT l.number, coalesce(a.seq_num, l.head), l.backend_id, l.state, coalesce(a.created_at, l.last_created_at),
        (SELECT max(n) FROM _ferry_event_arrivals)
    FROM _ferry_event_logs AS l LEFT JOIN _ferry_event_arrivals AS a
        ON a.n = (SELECT max(n) FROM _ferry_event_arrivals WHERE store = l.number)
    WHERE l.store_id = ?1";

/// The registry's columns, as [`super::store`] reads them, with what waits.
pub(super) const REGISTRY: &str = "SELECT store_id, number, backend_id,
        coalesce((SELECT max(seq_num) FROM _ferry_event_arrivals WHERE store = number), head), base,
        event_count + (SELECT count(*) FROM _ferry_event_arrivals WHERE store = number),
        bytes + (SELECT coalesce(sum(a.bytes), 0) FROM _ferry_event_arrivals AS a WHERE a.store = number), state,
        created_at,
        coalesce((SELECT max(a.created_at) FROM _ferry_event_arrivals AS a WHERE a.store = number), last_created_at)
    FROM _ferry_event_logs";

/// Whether the database has the table.
pub(super) fn exist<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    has_arrivals(sql)
}

/// Makes the table where there are many stores, if it is missing.
pub(super) fn make_if_many<S: Sql>(sql: &S) -> Result<(), S::Error> {
    let many = "SELECT 1 FROM _ferry_event_logs LIMIT 1 OFFSET ?1";
    if exist(sql)? || sql.first(many, &[(MANY_STORES - 1).into()], |_| Ok(()))?.is_none() {
        return Ok(());
    }
    sql.execute(TABLE, &[])?;
    sql.execute(INDEX, &[])?;
    renew_view(sql)
}

/// Whether a batch of so many events and bytes waits; a longer one is filed at once, behind what waits of its store.
pub(super) const fn takes(events: usize, bytes: usize) -> bool {
    events <= BATCH_EVENTS_MAX && bytes <= BATCH_BYTES_MAX
}

/// Puts rows behind the others, of which `waiting` wait already.
pub(super) fn add<S: Sql>(sql: &S, waiting: i64, rows: &[Value<'_>]) -> Result<(), S::Error> {
    if waiting >= WAITING_MAX {
        file(sql, "", &[])?;
        sql.execute("DELETE FROM _ferry_event_arrivals", &[])?;
    }
    sql.execute_rows(INSERT, COLUMNS, rows)
}

/// Files what waits of one store.
pub(super) fn file_store<S: Sql>(sql: &S, number: i64) -> Result<(), S::Error> {
    if !exist(sql)? || first_parent(sql, number)?.is_none() {
        return Ok(());
    }
    file(sql, "WHERE store = ?1", &[number.into()])?;
    forget(sql, number)
}

/// Copies what waits, or what `of` chooses of it, to where it belongs.
fn file<S: Sql>(sql: &S, of: &str, store: &[Value<'_>]) -> Result<(), S::Error> {
    let events = format!(
        "INSERT INTO _ferry_events
         SELECT store, seq_num, parent_seq_num, name, args, created_at, client_id, session_id, commit_seq, principal
         FROM _ferry_event_arrivals {of} ORDER BY store, n"
    );
    sql.execute(&events, store)?;
    let registry = format!(
        "UPDATE _ferry_event_logs SET head = a.head, event_count = event_count + a.events,
             bytes = _ferry_event_logs.bytes + a.bytes, last_created_at = a.last
         FROM (SELECT store_id, max(seq_num) AS head, count(*) AS events, sum(bytes) AS bytes,
                   max(created_at) AS last
               FROM _ferry_event_arrivals {of} GROUP BY store) AS a
         WHERE _ferry_event_logs.store_id = a.store_id"
    );
    sql.execute(&registry, store).map(drop)
}

/// Drops what waits of a store.
pub(super) fn forget<S: Sql>(sql: &S, number: i64) -> Result<(), S::Error> {
    if !exist(sql)? {
        return Ok(());
    }
    sql.execute("DELETE FROM _ferry_event_arrivals WHERE store = ?1", &[number.into()]).map(drop)
}

/// The number that the first waiting event of a store follows: the last one that is filed. `None`: none waits.
pub(super) fn first_parent<S: Sql>(sql: &S, number: i64) -> Result<Option<i64>, S::Error> {
    if !exist(sql)? {
        return Ok(None);
    }
    let text = "SELECT parent_seq_num FROM _ferry_event_arrivals WHERE store = ?1 ORDER BY n LIMIT 1";
    sql.first(text, &[number.into()], |row| Ok(row.integer(0)?))
}

/// The newest event of a store that waits.
pub(super) fn newest<S: Sql>(sql: &S, key: &StoreKey) -> Result<Option<Newest>, S::Error> {
    if !exist(sql)? {
        return Ok(None);
    }
    let text = "SELECT seq_num, created_at, commit_seq FROM _ferry_event_arrivals WHERE store = ?1
                ORDER BY n DESC LIMIT 1";
    sql.first(text, &[key.number.into()], |row| Ok(Newest::read(row)?))
}

/// Hands every waiting event after `after` up to `upto` to `each`, in order, at most `limit`.
pub(super) fn each_event<S: Sql>(
    sql: &S,
    key: &StoreKey,
    (after, upto): (i64, i64),
    limit: u32,
    each: &mut EachEvent<'_, S::Error>,
) -> Result<(), S::Error> {
    if limit == 0 || !exist(sql)? {
        return Ok(());
    }
    let text = "SELECT seq_num, parent_seq_num, name, args, created_at, client_id, session_id, commit_seq
        FROM _ferry_event_arrivals WHERE store = ?1 AND seq_num > ?2 AND seq_num <= ?3 ORDER BY n LIMIT ?4";
    let range = [key.number.into(), after.into(), upto.into(), i64::from(limit).into()];
    sql.query(text, &range, &mut |row| each(&event(row)?, row.integer(7)?))
}

/// Counts the waiting events after `after` up to `upto`.
pub(super) fn count<S: Sql>(sql: &S, key: &StoreKey, after: i64, upto: i64) -> Result<i64, S::Error> {
    let mut count = 0;
    each_event(sql, key, (after, upto), u32::MAX, &mut |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}
