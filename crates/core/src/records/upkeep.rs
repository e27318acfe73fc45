//! What time does to records: incomplete ones are given up waiting for, tombstones and notes are forgotten (REC-07,
//! REC-40, REC-41), owners and devices removed (REC-43), epochs begun (REC-44).

use std::ops::ControlFlow;

use ferry_protocol::records::UnixNanos;
use ferry_types::limits::{RECORDS_TOMBSTONE_LAST_FACTOR, RECORDS_TOMBSTONE_MIN_MS};

use super::{
    damaged,
    intents::Touched,
    merge::Draft,
    record::{DELETED_AT, Fields},
    sqlite::{SqliteRecords, collections, migrate::OWNED},
    store::{RecordKey, RecordStore},
};
use crate::sql::{Sql, Value};

/// Records that one run of [`run`] handles of each kind; the rest waits for the next one.
const RUN_MAX_RECORDS: i64 = 1000;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Key of the epoch in `_ferry_meta`.
const EPOCH_KEY: &str = "records_epoch";

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// `records.tombstone_days`.
    pub tombstone_days: i64,
    /// `records.history_days`.
    pub history_days: i64,
}

/// Purges and forgets what is due, in the running transaction.
///
/// # Errors
/// What storage reports.
pub fn run<S: Sql>(sql: &S, now: UnixNanos, keep: Keep) -> Result<(), S::Error> {
    purge(sql, now, keep)?;
    forget(sql, now, keep)
}

/// Since when the oldest incomplete record waits for its insert, if there is one.
///
/// # Errors
/// What storage reports.
pub fn waits_since<S: Sql>(sql: &S) -> Result<Option<UnixNanos>, S::Error> {
    let oldest = "SELECT created FROM _ferry_records INDEXED BY _ferry_records_incomplete WHERE state = 1
         ORDER BY created LIMIT 1";
    sql.first(oldest, &[], |row| Ok(UnixNanos(row.integer(0)?)))
}

/// Records that have waited for their insert since `due` are complete as they are, in the running transaction (REC-07):
/// clients of the first generation send of an add and an edit only the last. Returns the collections of those that are
/// delivered from now on.
///
/// # Errors
/// What storage reports.
pub fn ripen<S: Sql>(sql: &S, due: UnixNanos, now: UnixNanos) -> Result<Vec<Touched>, S::Error> {
    let store = SqliteRecords::new(sql);
    let mut ripe = Vec::new();
    sql.query(
        "SELECT owner, app, coll, id FROM _ferry_records INDEXED BY _ferry_records_incomplete
         WHERE state = 1 AND created <= ?1 ORDER BY created LIMIT ?2",
        &[due.0.into(), RUN_MAX_RECORDS.into()],
        &mut |row| {
            let text = |column| row.text(column).map(str::to_owned);
            ripe.push((text(0)?, text(1)?, text(2)?, text(3)?));
            Ok(ControlFlow::Continue(()))
        },
    )?;
    let mut touched = Vec::new();
    for (owner, app, coll, id) in ripe {
        let mut state = store.begin(&owner)?;
        let key = RecordKey { coll: &coll, id: &id };
        let row = store.read(&owner, &app, &[key])?.pop().flatten();
        let mut draft = Draft::new(key, row.as_ref()).map_err(damaged)?;
        draft.complete();
        let out = draft.finish(state.next_cts(now));
        store.write(&owner, &app, &[out])?;
        store.finish(&owner, state)?;
        let collection = (owner, app, coll);
        if !touched.contains(&collection) {
            touched.push(collection);
        }
    }
    Ok(touched)
}

struct Tombstone {
    owner: String,
    app: String,
    coll: String,
    id: String,
    cts: UnixNanos,
    at: UnixNanos,
    writer: String,
}

/// Tombstones that every device has passed, or that waited long enough, become a bare note of the id.
fn purge<S: Sql>(sql: &S, now: UnixNanos, keep: Keep) -> Result<(), S::Error> {
    let days = |days: i64| now.plus_ms(days.saturating_mul(-DAY_MS)).0;
    let mut due = Vec::new();
    sql.query(
        "SELECT owner, app, coll, id, cts, deleted_at, data, meta FROM _ferry_records AS r
         WHERE deleted_at IS NOT NULL AND cts < ?1 AND (cts < ?2 OR NOT EXISTS (
           SELECT 1 FROM _ferry_record_devices AS d
           WHERE d.owner = r.owner AND d.app IN (r.app, '') AND d.coll IN ('', r.coll) AND d.seen >= ?3
           GROUP BY d.client HAVING max(d.delivered) < r.cts))
         LIMIT ?4",
        &[
            now.plus_ms(-RECORDS_TOMBSTONE_MIN_MS).0.into(),
            days(keep.tombstone_days.saturating_mul(RECORDS_TOMBSTONE_LAST_FACTOR)).into(),
            days(keep.tombstone_days).into(),
            RUN_MAX_RECORDS.into(),
        ],
        &mut |row| {
            let text = |column| row.text(column).map(str::to_owned);
            let cts = UnixNanos(row.integer(4)?);
            let mut writer = String::new();
            for field in Fields::read(row.text(6)?, row.blob(7)?, cts).map_err(damaged)? {
                let field = field.map_err(damaged)?;
                if field.key == DELETED_AT {
                    field.writer.clone_into(&mut writer);
                }
            }
            let (owner, app, coll, id) = (text(0)?, text(1)?, text(2)?, text(3)?);
            due.push(Tombstone { owner, app, coll, id, cts, at: UnixNanos(row.integer(5)?), writer });
            Ok(ControlFlow::Continue(()))
        },
    )?;
    for tombstone in &due {
        bury(sql, tombstone)?;
    }
    Ok(())
}

fn bury<S: Sql>(sql: &S, tombstone: &Tombstone) -> Result<(), S::Error> {
    let (owner, app) = (&*tombstone.owner, &*tombstone.app);
    let key: [Value<'_>; 4] = [owner.into(), app.into(), (&*tombstone.coll).into(), (&*tombstone.id).into()];
    let [a, b, c, d] = key;
    sql.execute(
        "INSERT OR REPLACE INTO _ferry_record_purged VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        &[a, b, c, d, tombstone.at.0.into(), (&*tombstone.writer).into(), tombstone.cts.0.into()],
    )?;
    for table in ["_ferry_records", "_ferry_record_history"] {
        let text = format!("DELETE FROM {table} WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4");
        sql.execute(&text, &key)?;
    }
    sql.execute(
        "UPDATE _ferry_record_owners SET horizon = max(horizon, ?2) WHERE owner = ?1",
        &[owner.into(), tombstone.cts.0.into()],
    )?;
    Ok(())
}

fn forget<S: Sql>(sql: &S, now: UnixNanos, keep: Keep) -> Result<(), S::Error> {
    let days = |days: i64| Value::Integer(now.plus_ms(days.saturating_mul(-DAY_MS)).0);
    let last_seen = keep.tombstone_days.saturating_mul(RECORDS_TOMBSTONE_LAST_FACTOR);
    sql.execute(
        "DELETE FROM _ferry_record_history WHERE number IN
           (SELECT number FROM _ferry_record_history ORDER BY number LIMIT ?2) AND cts < ?1",
        &[days(keep.history_days), (RUN_MAX_RECORDS * 10).into()],
    )?;
    sql.execute("DELETE FROM _ferry_record_gaps WHERE until < ?1", &[days(last_seen)])?;
    sql.execute("DELETE FROM _ferry_record_stamps WHERE at < ?1", &[days(keep.history_days)])?;
    sql.execute("DELETE FROM _ferry_record_conflicts WHERE found < ?1", &[days(keep.tombstone_days)])?;
    let gone = sql.execute("DELETE FROM _ferry_record_devices WHERE seen < ?1", &[days(last_seen)])?;
    if gone > 0 {
        sql.execute(
            "DELETE FROM _ferry_record_skew WHERE NOT EXISTS (SELECT 1 FROM _ferry_record_devices AS d
               WHERE d.owner = _ferry_record_skew.owner AND d.client = _ferry_record_skew.client)",
            &[],
        )?;
    }
    Ok(())
}

/// Removes everything of an owner. True if there was something.
///
/// # Errors
/// What storage reports.
pub fn forget_owner<S: Sql>(sql: &S, owner: &str) -> Result<bool, S::Error> {
    collections::may_be_unused(sql, owner)?;
    let mut removed = 0;
    for table in OWNED {
        removed += sql.execute(&format!("DELETE FROM {table} WHERE owner = ?1"), &[owner.into()])?;
    }
    Ok(removed > 0)
}

/// Removes the records of an owner whose devices go on: their next pull gives them everything.
///
/// # Errors
/// What storage reports.
pub fn clear_owner<S: Sql>(sql: &S, owner: &str, now: UnixNanos) -> Result<(), S::Error> {
    let store = SqliteRecords::new(sql);
    let mut state = store.begin(owner)?;
    forget_owner(sql, owner)?;
    state.horizon = state.next_cts(now);
    store.finish(owner, state)
}

/// Removes what is kept of a device. True if there was something.
///
/// # Errors
/// What storage reports.
pub fn forget_device<S: Sql>(sql: &S, owner: &str, client: &str) -> Result<bool, S::Error> {
    let mut removed = 0;
    for table in ["_ferry_record_devices", "_ferry_record_skew", "_ferry_record_stamps"] {
        let text = format!("DELETE FROM {table} WHERE owner = ?1 AND client = ?2");
        removed += sql.execute(&text, &[owner.into(), client.into()])?;
    }
    Ok(removed > 0)
}

/// The epoch of the store; `None` before [`begin_epoch`].
///
/// # Errors
/// What storage reports.
pub fn epoch<S: Sql>(sql: &S) -> Result<Option<String>, S::Error> {
    sql.first("SELECT value FROM _ferry_meta WHERE key = ?1", &[EPOCH_KEY.into()], |row| {
        Ok(row.text(0)?.to_owned())
    })
}

/// Begins an epoch: acknowledged writes may be lost, so that every cursor given out before `now` leads to a full
/// pass.
///
/// # Errors
/// What storage reports.
pub fn begin_epoch<S: Sql>(sql: &S, epoch: &str, now: UnixNanos) -> Result<(), S::Error> {
    sql.execute("INSERT OR REPLACE INTO _ferry_meta VALUES (?1, ?2)", &[EPOCH_KEY.into(), epoch.into()])?;
    sql.execute(
        "UPDATE _ferry_record_owners SET last_cts = max(last_cts, ?1), horizon = max(last_cts, ?1)",
        &[super::marks::cts_at(now).0.into()],
    )?;
    Ok(())
}
