//! What is kept of devices: how far they are, skewed times, stamps.

use std::ops::ControlFlow;

use ferry_protocol::records::UnixNanos;

use super::{
    super::store::{DeliveryCursor, Device, DeviceState, RecordKey, Skew, Stamp},
    Rare, SqliteRecords, nanos, owners,
    tables::rare_tables,
};
use crate::sql::Sql;

/// In place of the time that a device did not send; none that it can send needs a stamp.
const NO_TIME: UnixNanos = UnixNanos(i64::MIN);

/// One statement where nothing rare is kept: the owner's newest commit, and each of the device's cursors.
const BEGIN: &str = concat!(
    "SELECT ",
    rare_tables!(),
    ", ",
    owners::newest_of!("?1"),
    ", d.coll, d.delivered, d.pass, d.seen FROM (SELECT 1)
     LEFT JOIN _ferry_record_devices AS d ON d.owner = ?1 AND d.client = ?2 AND d.app = ?3"
);

pub(super) fn begin<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    client: &str,
    app: &str,
) -> Result<DeviceState, S::Error> {
    let mut state = DeviceState::default();
    store.sql.query(BEGIN, &[owner.into(), client.into(), app.into()], &mut |row| {
        store.rare.set(Some(row.optional_integer(0)?.unwrap_or(0)));
        state.owner.last_cts = UnixNanos(row.optional_integer(1)?.unwrap_or(0));
        if let Some(coll) = row.optional_text(2)? {
            let cursor =
                DeliveryCursor { delivered: nanos(row, 3)?, pass: nanos(row, 4)?, seen: nanos(row, 5)? };
            state.cursors.push((coll.to_owned(), cursor));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    state.owner = owners::with_horizon(store, owner, state.owner.last_cts)?;
    state.has_stamps = store.has(Rare::Stamps)? && has_stamps(store.sql, owner, client, app)?;
    Ok(state)
}

pub(super) fn cursors<S: Sql>(
    sql: &S,
    owner: &str,
    client: &str,
    app: &str,
) -> Result<Vec<(String, DeliveryCursor)>, S::Error> {
    let mut found = Vec::new();
    sql.query(
        "SELECT coll, delivered, pass, seen FROM _ferry_record_devices
         WHERE owner = ?1 AND client = ?2 AND app = ?3",
        &[owner.into(), client.into(), app.into()],
        &mut |row| {
            let cursor =
                DeliveryCursor { delivered: nanos(row, 1)?, pass: nanos(row, 2)?, seen: nanos(row, 3)? };
            found.push((row.text(0)?.to_owned(), cursor));
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(found)
}

pub(super) fn set_cursor<S: Sql>(
    sql: &S,
    owner: &str,
    device: Device<'_>,
    cursor: DeliveryCursor,
) -> Result<(), S::Error> {
    sql.execute(
        "INSERT INTO _ferry_record_devices VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT(owner, client, app, coll) DO UPDATE SET delivered = excluded.delivered,
           pass = excluded.pass, seen = max(seen, excluded.seen)",
        &[
            owner.into(),
            device.client.into(),
            device.app.into(),
            device.coll.into(),
            cursor.delivered.0.into(),
            cursor.pass.0.into(),
            cursor.seen.0.into(),
        ],
    )?;
    Ok(())
}

pub(super) fn has_skew<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    device: Option<(&str, &str)>,
) -> Result<bool, S::Error> {
    if !store.has(Rare::Skew)? {
        return Ok(false);
    }
    let found = match device {
        Some((client, app)) => store.sql.first(
            "SELECT 1 FROM _ferry_record_skew WHERE owner = ?1 AND client = ?2 AND app = ?3 LIMIT 1",
            &[owner.into(), client.into(), app.into()],
            |_| Ok(()),
        ),
        None => store.sql.first(
            "SELECT 1 FROM _ferry_record_skew WHERE owner = ?1 LIMIT 1",
            &[owner.into()],
            |_| Ok(()),
        ),
    };
    Ok(found?.is_some())
}

pub(super) fn skew<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    client: &str,
    app: &str,
    key: RecordKey<'_>,
) -> Result<Vec<(String, UnixNanos)>, S::Error> {
    let mut found = Vec::new();
    if !store.has(Rare::Skew)? {
        return Ok(found);
    }
    store.sql.query(
        "SELECT field, sent_at FROM _ferry_record_skew
         WHERE owner = ?1 AND client = ?2 AND app = ?3 AND coll = ?4 AND id = ?5",
        &[owner.into(), client.into(), app.into(), key.coll.into(), key.id.into()],
        &mut |row| {
            found.push((row.text(0)?.to_owned(), nanos(row, 1)?));
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(found)
}

pub(super) fn add_skew<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    app: &str,
    skew: &[Skew],
) -> Result<(), S::Error> {
    for entry in skew {
        store.make(Rare::Skew)?;
        store.sql.execute(
            "INSERT INTO _ferry_record_skew VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT(owner, client, app, coll, id, field)
             DO UPDATE SET sent_at = excluded.sent_at WHERE excluded.sent_at > sent_at",
            &[
                owner.into(),
                (&*entry.client).into(),
                app.into(),
                (&*entry.coll).into(),
                (&*entry.id).into(),
                (&*entry.field).into(),
                entry.sent_at.0.into(),
            ],
        )?;
    }
    Ok(())
}

fn has_stamps<S: Sql>(sql: &S, owner: &str, client: &str, app: &str) -> Result<bool, S::Error> {
    let found = sql.first(
        "SELECT 1 FROM _ferry_record_stamps WHERE owner = ?1 AND client = ?2 AND app = ?3 LIMIT 1",
        &[owner.into(), client.into(), app.into()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

pub(super) fn stamps<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    client: &str,
    app: &str,
    keys: &[RecordKey<'_>],
) -> Result<Vec<(usize, Stamp)>, S::Error> {
    let mut found = Vec::new();
    if !store.has(Rare::Stamps)? {
        return Ok(found);
    }
    for (index, key) in keys.iter().enumerate() {
        store.sql.query(
            "SELECT field, sent, digest, at FROM _ferry_record_stamps
             WHERE owner = ?1 AND client = ?2 AND app = ?3 AND coll = ?4 AND id = ?5",
            &[owner.into(), client.into(), app.into(), key.coll.into(), key.id.into()],
            &mut |row| {
                let sent = Some(nanos(row, 1)?).filter(|sent| *sent != NO_TIME);
                let field = row.text(0)?.to_owned();
                found.push((index, Stamp { field, sent, digest: row.integer(2)?, at: nanos(row, 3)? }));
                Ok(ControlFlow::Continue(()))
            },
        )?;
    }
    Ok(found)
}

pub(super) fn set_stamps<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    client: &str,
    app: &str,
    stamps: &[(RecordKey<'_>, Stamp)],
) -> Result<(), S::Error> {
    for (key, stamp) in stamps {
        store.make(Rare::Stamps)?;
        store.sql.execute(
            "INSERT OR REPLACE INTO _ferry_record_stamps VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            &[
                owner.into(),
                client.into(),
                app.into(),
                key.coll.into(),
                key.id.into(),
                (&*stamp.field).into(),
                stamp.digest.into(),
                stamp.sent.unwrap_or(NO_TIME).0.into(),
                stamp.at.0.into(),
            ],
        )?;
    }
    Ok(())
}

pub(super) fn forget_stamps<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    client: &str,
    app: &str,
    key: RecordKey<'_>,
    oldest: UnixNanos,
) -> Result<(), S::Error> {
    if !store.has(Rare::Stamps)? {
        return Ok(());
    }
    store.sql.execute(
        "DELETE FROM _ferry_record_stamps
         WHERE owner = ?1 AND client = ?2 AND app = ?3 AND coll = ?4 AND id = ?5 AND at < ?6",
        &[owner.into(), client.into(), app.into(), key.coll.into(), key.id.into(), oldest.0.into()],
    )?;
    Ok(())
}
