//! What is kept of devices: marks, skewed times, stamps.

use std::ops::ControlFlow;

use ferry_protocol::records::UnixNanos;

use super::{
    super::store::{Device, Mark, RecordKey, Skew, Stamp},
    nanos,
};
use crate::sql::Sql;

/// In place of the time that a device did not send; none that it can send needs a stamp.
const NO_TIME: UnixNanos = UnixNanos(i64::MIN);

pub(super) fn marks<S: Sql>(
    sql: &S,
    owner: &str,
    client: &str,
    app: &str,
) -> Result<Vec<(String, Mark)>, S::Error> {
    let mut found = Vec::new();
    sql.query(
        "SELECT coll, delivered, pass, seen FROM _ferry_record_devices
         WHERE owner = ?1 AND client = ?2 AND app = ?3",
        &[owner.into(), client.into(), app.into()],
        &mut |row| {
            let mark = Mark { delivered: nanos(row, 1)?, pass: nanos(row, 2)?, seen: nanos(row, 3)? };
            found.push((row.text(0)?.to_owned(), mark));
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(found)
}

pub(super) fn set_mark<S: Sql>(sql: &S, owner: &str, device: Device<'_>, mark: Mark) -> Result<(), S::Error> {
    sql.execute(
        "INSERT INTO _ferry_record_devices VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT(owner, client, app, coll) DO UPDATE SET delivered = excluded.delivered,
           pass = excluded.pass, seen = max(seen, excluded.seen)",
        &[
            owner.into(),
            device.client.into(),
            device.app.into(),
            device.coll.into(),
            mark.delivered.0.into(),
            mark.pass.0.into(),
            mark.seen.0.into(),
        ],
    )?;
    Ok(())
}

pub(super) fn has_skew<S: Sql>(sql: &S, owner: &str, device: Option<(&str, &str)>) -> Result<bool, S::Error> {
    let found = match device {
        Some((client, app)) => sql.first(
            "SELECT 1 FROM _ferry_record_skew WHERE owner = ?1 AND client = ?2 AND app = ?3 LIMIT 1",
            &[owner.into(), client.into(), app.into()],
            |_| Ok(()),
        ),
        None => sql.first(
            "SELECT 1 FROM _ferry_record_skew WHERE owner = ?1 LIMIT 1",
            &[owner.into()],
            |_| Ok(()),
        ),
    };
    Ok(found?.is_some())
}

pub(super) fn skew<S: Sql>(
    sql: &S,
    owner: &str,
    client: &str,
    app: &str,
    key: RecordKey<'_>,
) -> Result<Vec<(String, UnixNanos)>, S::Error> {
    let mut found = Vec::new();
    sql.query(
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

pub(super) fn add_skew<S: Sql>(sql: &S, owner: &str, app: &str, skew: &[Skew]) -> Result<(), S::Error> {
    for entry in skew {
        sql.execute(
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

pub(super) fn has_stamps<S: Sql>(sql: &S, owner: &str, client: &str, app: &str) -> Result<bool, S::Error> {
    let found = sql.first(
        "SELECT 1 FROM _ferry_record_stamps WHERE owner = ?1 AND client = ?2 AND app = ?3 LIMIT 1",
        &[owner.into(), client.into(), app.into()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

pub(super) fn stamps<S: Sql>(
    sql: &S,
    owner: &str,
    client: &str,
    app: &str,
    keys: &[RecordKey<'_>],
) -> Result<Vec<Stamp>, S::Error> {
    let mut found: Vec<Stamp> = Vec::new();
    for key in keys {
        if found.last().is_some_and(|last| last.coll == key.coll && last.id == key.id) {
            continue;
        }
        sql.query(
            "SELECT field, sent, digest, at FROM _ferry_record_stamps
             WHERE owner = ?1 AND client = ?2 AND app = ?3 AND coll = ?4 AND id = ?5",
            &[owner.into(), client.into(), app.into(), key.coll.into(), key.id.into()],
            &mut |row| {
                found.push(Stamp {
                    coll: key.coll.to_owned(),
                    id: key.id.to_owned(),
                    field: row.text(0)?.to_owned(),
                    sent: Some(nanos(row, 1)?).filter(|sent| *sent != NO_TIME),
                    digest: row.integer(2)?,
                    at: nanos(row, 3)?,
                });
                Ok(ControlFlow::Continue(()))
            },
        )?;
    }
    Ok(found)
}

pub(super) fn set_stamps<S: Sql>(
    sql: &S,
    owner: &str,
    client: &str,
    app: &str,
    stamps: &[Stamp],
) -> Result<(), S::Error> {
    for stamp in stamps {
        sql.execute(
            "INSERT OR REPLACE INTO _ferry_record_stamps VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            &[
                owner.into(),
                client.into(),
                app.into(),
                (&*stamp.coll).into(),
                (&*stamp.id).into(),
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
    sql: &S,
    owner: &str,
    client: &str,
    app: &str,
    key: RecordKey<'_>,
    oldest: UnixNanos,
) -> Result<(), S::Error> {
    sql.execute(
        "DELETE FROM _ferry_record_stamps
         WHERE owner = ?1 AND client = ?2 AND app = ?3 AND coll = ?4 AND id = ?5 AND at < ?6",
        &[owner.into(), client.into(), app.into(), key.coll.into(), key.id.into(), oldest.0.into()],
    )?;
    Ok(())
}
