//! Databases of the first layout, in which each store had a table of its own, and how they come to the present one: the
//! registry at once, which is as long as the schema that every connection had to read; then the events, in steps that
//! each move some from the beginning of a table. A store is read and written all the while: what is moved and what is
//! appended lies under its number, between them what its table still holds. Each step is one commit, so it may end
//! anywhere and goes on there.

use super::{
    arrivals,
    schema::{create_logs, create_view, has_table},
    store_key::StoreKey,
};
use crate::sql::Sql;

/// The registry of the first layout.
const REGISTRY: &str = "_ferry_event_stores";
/// Events that one step moves at most.
const STEP_EVENTS: i64 = 1_000;
/// Tables that one step empties at most: removing one costs as much as the schema is long.
const STEP_TABLES: usize = 8;

/// Columns of a table of the first layout, in the order of those that [`super::log`] reads.
const COLUMNS: &str = "seqNum, parentSeqNum, name, args, createdAt, clientId, sessionId, commitSeq";

/// Whether the database still has the first registry.
///
/// # Errors
/// What storage reports.
pub fn is_first<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    has_table(sql, REGISTRY)
}

/// Takes the registry over, if it is of the first layout. Numbers below 0 are given to no other store.
///
/// # Errors
/// What storage reports.
pub fn take_over<S: Sql>(sql: &S) -> Result<(), S::Error> {
    if !is_first(sql)? {
        return Ok(());
    }
    create_logs(sql)?;
    let rows = "INSERT INTO _ferry_event_logs(store_id, number, backend_id, head, base, event_count, bytes, state,
                    created_at, last_created_at, moving)
                SELECT store_id, -row_number() OVER (ORDER BY store_id), backend_id, head, base, event_count, bytes,
                    state, created_at, last_created_at, iif(state = 'deleted', NULL, table_name)
                FROM _ferry_event_stores";
    sql.execute(rows, &[])?;
    sql.execute("DROP TABLE _ferry_event_stores", &[])?;
    arrivals::make_if_many(sql)?;
    if !is_moving(sql)? {
        create_view(sql)?;
    }
    Ok(())
}

/// Whether some store's events are not moved yet.
///
/// # Errors
/// What storage reports.
pub fn is_moving<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    Ok(next(sql, "")?.is_some())
}

/// A store that is being moved.
struct Moving {
    key: StoreKey,
    table: Box<str>,
}

/// Moves some events of stores from `from` on, and tells where the next step begins; `None`: all are moved.
///
/// # Errors
/// What storage reports.
pub fn step<S: Sql>(sql: &S, from: &str) -> Result<Option<Box<str>>, S::Error> {
    let (mut from, mut left): (Box<str>, _) = (from.into(), STEP_EVENTS);
    for _ in 0..STEP_TABLES {
        let Some(moving) = next(sql, &from)? else { break };
        left -= moving.step(sql, left)?;
        from = moving.key.id;
        if left <= 0 {
            break;
        }
    }
    if next(sql, &from)?.is_some() {
        return Ok(Some(from));
    }
    // With the last store, so that no crash falls between the two.
    create_view(sql)?;
    Ok(None)
}

/// The first store from `from` on that is not moved yet.
fn next<S: Sql>(sql: &S, from: &str) -> Result<Option<Moving>, S::Error> {
    let text = "SELECT store_id, number, moving FROM _ferry_event_logs
                WHERE moving IS NOT NULL AND store_id >= ?1 ORDER BY store_id LIMIT 1";
    sql.first(text, &[from.into()], |row| {
        let key = StoreKey { id: row.text(0)?.into(), number: row.integer(1)? };
        Ok(Moving { key, table: row.text(2)?.into() })
    })
}

impl Moving {
    /// Moves at most `most` events, and tells how many it did. A table from which all are moved is removed.
    fn step<S: Sql>(&self, sql: &S, most: i64) -> Result<i64, S::Error> {
        let Self { key, table } = self;
        let insert = format!(
            "INSERT INTO _ferry_events SELECT ?1, {COLUMNS}, principal FROM \"{table}\" ORDER BY seqNum LIMIT ?2"
        );
        let moved = sql.execute(&insert, &[key.number.into(), most.into()])?;
        let moved = i64::try_from(moved).unwrap_or(i64::MAX);
        if moved < most {
            drop_rest(sql, key, table)?;
        } else {
            let delete = format!(
                "DELETE FROM \"{table}\" WHERE seqNum IN (SELECT seqNum FROM \"{table}\" ORDER BY seqNum LIMIT ?1)"
            );
            sql.execute(&delete, &[most.into()])?;
        }
        Ok(moved)
    }
}

/// Removes what the table of a store still holds, and the table.
fn drop_rest<S: Sql>(sql: &S, key: &StoreKey, table: &str) -> Result<(), S::Error> {
    sql.execute(&format!("DROP TABLE \"{table}\""), &[])?;
    let text = "UPDATE _ferry_event_logs SET moving = NULL WHERE store_id = ?1";
    sql.execute(text, &[(*key.id).into()]).map(drop)
}

/// Forgets what of a store's log is not moved yet.
pub(super) fn forget<S: Sql>(sql: &S, key: &StoreKey) -> Result<(), S::Error> {
    match rest_of(sql, key)? {
        Some(table) => drop_rest(sql, key, &table),
        None => Ok(()),
    }
}

/// The table that holds the rest of a store's log; its name has no quote.
pub(super) fn rest_of<S: Sql>(sql: &S, key: &StoreKey) -> Result<Option<Box<str>>, S::Error> {
    let text = "SELECT moving FROM _ferry_event_logs WHERE store_id = ?1";
    let found = sql.first(text, &[(*key.id).into()], |row| Ok(row.optional_text(0)?.map(Into::into)))?;
    Ok(found.flatten())
}

/// The statement of [`super::log::each_event`] over both.
pub(super) fn page(rest: &str) -> String {
    format!(
        "SELECT seq_num, parent_seq_num, name, args, created_at, client_id, session_id, commit_seq
         FROM _ferry_events WHERE store = ?1 AND seq_num > ?2 AND seq_num <= ?3
         UNION ALL SELECT {COLUMNS} FROM \"{rest}\" WHERE seqNum > ?2 AND seqNum <= ?3 ORDER BY 1 LIMIT ?4"
    )
}

/// The same of [`super::log::count`].
pub(super) fn count(rest: &str) -> String {
    format!(
        "SELECT (SELECT count(*) FROM _ferry_events WHERE store = ?1 AND seq_num > ?2 AND seq_num <= ?3)
         + (SELECT count(*) FROM \"{rest}\" WHERE seqNum > ?2 AND seqNum <= ?3)"
    )
}

/// The same of [`super::log::newest`].
pub(super) fn newest(rest: &str) -> String {
    format!(
        "SELECT seq_num, created_at, commit_seq FROM _ferry_events WHERE store = ?1
         UNION ALL SELECT seqNum, createdAt, commitSeq FROM \"{rest}\" ORDER BY 1 DESC LIMIT 1"
    )
}
