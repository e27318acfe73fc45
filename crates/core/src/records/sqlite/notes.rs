//! What is kept beside the records: purged ids, conflicts.

use ferry_protocol::records::UnixNanos;

use super::{
    super::store::{Conflict, Purged, RecordKey},
    Rare, SqliteRecords, nanos,
};
use crate::sql::Sql;

pub(super) fn purged<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    app: &str,
    keys: &[RecordKey<'_>],
) -> Result<Vec<Option<Purged>>, S::Error> {
    if !store.has(Rare::Purged)? {
        return Ok(vec![None; keys.len()]);
    }
    let read = |key: &RecordKey<'_>| {
        store.sql.first(
            "SELECT at, writer, cts FROM _ferry_record_purged
             WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4",
            &[owner.into(), app.into(), key.coll.into(), key.id.into()],
            |row| Ok(Purged { at: nanos(row, 0)?, writer: row.text(1)?.to_owned(), cts: nanos(row, 2)? }),
        )
    };
    keys.iter().map(read).collect()
}

pub(super) fn unpurge<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    app: &str,
    keys: &[RecordKey<'_>],
) -> Result<(), S::Error> {
    if !store.has(Rare::Purged)? {
        return Ok(());
    }
    for key in keys {
        store.sql.execute(
            "DELETE FROM _ferry_record_purged WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4",
            &[owner.into(), app.into(), key.coll.into(), key.id.into()],
        )?;
    }
    Ok(())
}

pub(super) fn add_conflicts<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    found: UnixNanos,
    conflicts: &[Conflict],
) -> Result<(), S::Error> {
    for conflict in conflicts {
        let (winner, loser) = (&conflict.winner, &conflict.loser);
        store.make(Rare::Conflicts)?;
        store.sql.execute(
            "INSERT INTO _ferry_record_conflicts
               (owner, app, coll, id, field, winner, winner_at, winner_client, loser, loser_at, loser_client,
                found, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 'open')
             ON CONFLICT(owner, app, coll, id, field) WHERE state = 'open' DO UPDATE SET
               winner = excluded.winner, winner_at = excluded.winner_at, winner_client = excluded.winner_client,
               loser = excluded.loser, loser_at = excluded.loser_at, loser_client = excluded.loser_client,
               found = excluded.found
             WHERE excluded.loser_at > loser_at OR excluded.winner_at > winner_at
               OR (excluded.loser_at = loser_at AND excluded.loser > loser)",
            &[
                owner.into(),
                (&*conflict.app).into(),
                (&*conflict.coll).into(),
                (&*conflict.id).into(),
                (&*conflict.field).into(),
                (&*winner.value).into(),
                winner.at.0.into(),
                (&*winner.writer).into(),
                (&*loser.value).into(),
                loser.at.0.into(),
                (&*loser.writer).into(),
                found.0.into(),
            ],
        )?;
    }
    Ok(())
}
