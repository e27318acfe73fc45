//! Clients that stand behind the end of the log (EVT-47). The hub has acknowledged what they hold, so it has lost it: a
//! whole data directory was put back, or a file that is older by less than what the hub remembers beside it. While the
//! log stays below the lowest of them, each is told so and nobody diverges; behind it nobody could tell the two
//! histories apart. Kept in the database, so that it outlives a restart.

use std::{collections::HashMap, ops::ControlFlow};

use super::{
    schema,
    store::{self, StoreRow, StoreState},
};
use crate::sql::{Damaged, Row, Sql};

/// Devices that are remembered of a store: the lowest decide, the others are for people to see.
const DEVICES_MAX: i64 = 100;

/// What becomes of a store of which a client proves that events are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCursorAhead {
    /// It goes on until its log would reach what the client holds.
    Auto,
    /// It waits for the operator at once.
    Hold,
    /// It goes on: the client alone is refused.
    Refuse,
}

/// A client that holds an event which the log does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The client's id, or else whose credential it was.
    pub device: Box<str>,
    /// Number of the event, the lowest that the device named.
    pub at: i64,
    /// `push` or `pull`.
    pub call: Box<str>,
    /// When it was seen first: RFC 3339, UTC.
    pub since: Box<str>,
}

/// What noting it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It proves nothing: the log has come so far, or the store is another one by now, or waits already.
    Nothing,
    /// It was known.
    Known,
    /// It is new; the head that it is compared with.
    New(i64),
    /// It is new, and the store is on hold now.
    Held(StoreRow),
}

fn has_table<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    schema::has_table(sql, "_ferry_event_ahead")
}

/// Notes `seen` of the store with the identity `backend_id`.
///
/// # Errors
/// What storage reports.
pub fn note<S: Sql>(
    sql: &S,
    (store_id, backend_id): (&str, &str),
    seen: &Evidence,
    holds: bool,
) -> Result<Noted, S::Error> {
    let Some(mut row) = store::find(sql, store_id)? else { return Ok(Noted::Nothing) };
    let is_ahead = row.state == StoreState::Ok && seen.at > row.head;
    if !is_ahead || *row.backend_id != *backend_id {
        return Ok(Noted::Nothing);
    }
    let table = "CREATE TABLE IF NOT EXISTS _ferry_event_ahead(
                     store_id TEXT, device TEXT, at INTEGER NOT NULL, call TEXT NOT NULL, since TEXT NOT NULL,
                     PRIMARY KEY(store_id, device)) STRICT";
    sql.execute(table, &[])?;
    let text = "INSERT INTO _ferry_event_ahead(store_id, device, at, call, since) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT DO UPDATE SET at = excluded.at, call = excluded.call WHERE excluded.at < at";
    let values =
        [store_id.into(), (*seen.device).into(), seen.at.into(), (*seen.call).into(), (*seen.since).into()];
    let known = list(sql, store_id)?.iter().any(|known| known.device == seen.device && known.at <= seen.at);
    if known {
        return Ok(Noted::Known);
    }
    sql.execute(text, &values)?;
    let most = "DELETE FROM _ferry_event_ahead WHERE store_id = ?1 AND device IN
                    (SELECT device FROM _ferry_event_ahead WHERE store_id = ?1 ORDER BY at LIMIT -1 OFFSET ?2)";
    sql.execute(most, &[store_id.into(), DEVICES_MAX.into()])?;
    if !holds {
        return Ok(Noted::New(row.head));
    }
    hold(sql, &mut row)?;
    Ok(Noted::Held(row))
}

/// Puts the store on hold.
fn hold<S: Sql>(sql: &S, row: &mut StoreRow) -> Result<(), S::Error> {
    store::set_state(sql, &row.key.id, StoreState::Hold)?;
    row.state = StoreState::Hold;
    Ok(())
}

/// Puts the store on hold if a log that ends at `head` would reach what a client holds: the store then.
///
/// # Errors
/// What storage reports.
pub(super) fn hold_if_reached<S: Sql>(
    sql: &S,
    store_id: &str,
    head: i64,
) -> Result<Option<StoreRow>, S::Error> {
    if lowest(sql, store_id)?.is_none_or(|lowest| head < lowest) {
        return Ok(None);
    }
    let Some(mut row) = store::find(sql, store_id)? else { return Ok(None) };
    hold(sql, &mut row)?;
    Ok(Some(row))
}

/// The lowest event that a client holds and the log does not have.
///
/// # Errors
/// What storage reports.
pub fn lowest<S: Sql>(sql: &S, store_id: &str) -> Result<Option<i64>, S::Error> {
    if !has_table(sql)? {
        return Ok(None);
    }
    let text = "SELECT at FROM _ferry_event_ahead WHERE store_id = ?1 ORDER BY at LIMIT 1";
    sql.first(text, &[store_id.into()], |row| Ok(row.integer(0)?))
}

/// All that is known of a store, the lowest first.
///
/// # Errors
/// What storage reports.
pub fn list<S: Sql>(sql: &S, store_id: &str) -> Result<Vec<Evidence>, S::Error> {
    let mut found = Vec::new();
    if has_table(sql)? {
        let text =
            "SELECT device, at, call, since FROM _ferry_event_ahead WHERE store_id = ?1 ORDER BY at, device";
        sql.query(text, &[store_id.into()], &mut |row| {
            found.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(found)
}

/// The same of all stores, by their ids.
///
/// # Errors
/// What storage reports.
pub fn all<S: Sql>(sql: &S) -> Result<HashMap<Box<str>, Vec<Evidence>>, S::Error> {
    let mut found = HashMap::<_, Vec<_>>::new();
    if has_table(sql)? {
        let text = "SELECT device, at, call, since, store_id FROM _ferry_event_ahead ORDER BY at, device";
        sql.query(text, &[], &mut |row| {
            found.entry(row.text(4)?.into()).or_default().push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(found)
}

fn read(row: &dyn Row) -> Result<Evidence, Damaged> {
    Ok(Evidence {
        device: row.text(0)?.into(),
        at: row.integer(1)?,
        call: row.text(2)?.into(),
        since: row.text(3)?.into(),
    })
}

/// Forgets it: the operator has decided.
///
/// # Errors
/// What storage reports.
pub fn forget<S: Sql>(sql: &S, store_id: &str) -> Result<(), S::Error> {
    forget_upto(sql, store_id, i64::MAX)
}

/// Forgets what is said of events up to `head`, which the operator has put back.
///
/// # Errors
/// What storage reports.
pub fn forget_upto<S: Sql>(sql: &S, store_id: &str, head: i64) -> Result<(), S::Error> {
    if !has_table(sql)? {
        return Ok(());
    }
    let text = "DELETE FROM _ferry_event_ahead WHERE store_id = ?1 AND at <= ?2";
    sql.execute(text, &[store_id.into(), head.into()]).map(drop)
}
