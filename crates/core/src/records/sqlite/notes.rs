//! What is kept beside the records: purged ids, history, conflicts.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
};

use ferry_protocol::records::UnixNanos;

use super::{
    super::{
        history,
        store::{Conflict, HistoryOut, PastWrite, Purged, RecordKey},
    },
    nanos,
};
use crate::sql::{Sql, Value};

pub(super) fn purged<S: Sql>(
    sql: &S,
    owner: &str,
    app: &str,
    keys: &[RecordKey<'_>],
) -> Result<Vec<Option<Purged>>, S::Error> {
    let read = |key: &RecordKey<'_>| {
        sql.first(
            "SELECT at, writer, cts FROM _ferry_record_purged
             WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4",
            &[owner.into(), app.into(), key.coll.into(), key.id.into()],
            |row| Ok(Purged { at: nanos(row, 0)?, writer: row.text(1)?.to_owned(), cts: nanos(row, 2)? }),
        )
    };
    keys.iter().map(read).collect()
}

pub(super) fn unpurge<S: Sql>(
    sql: &S,
    owner: &str,
    app: &str,
    keys: &[RecordKey<'_>],
) -> Result<(), S::Error> {
    for key in keys {
        sql.execute(
            "DELETE FROM _ferry_record_purged WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4",
            &[owner.into(), app.into(), key.coll.into(), key.id.into()],
        )?;
    }
    Ok(())
}

pub(super) fn add_history<S: Sql>(
    sql: &S,
    owner: &str,
    app: &str,
    entries: &[HistoryOut<'_>],
) -> Result<(), S::Error> {
    let mut values: Vec<Value<'_>> = Vec::with_capacity(entries.len() * 6);
    for entry in entries {
        let key = entry.key;
        values.extend([owner, app, key.coll, key.id].map(Value::from));
        values.extend([entry.cts.0.into(), Value::from(&*entry.entry)]);
    }
    sql.execute_rows(
        "INSERT INTO _ferry_record_history(owner, app, coll, id, cts, entry) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        6,
        &values,
    )
}

/// The history of each record is read once, however many writes are looked for in it.
pub(super) fn were_merged<S: Sql>(
    sql: &S,
    owner: &str,
    app: &str,
    writes: &[PastWrite<'_>],
) -> Result<Vec<bool>, S::Error> {
    let mut by_record: BTreeMap<(RecordKey<'_>, &str), Vec<usize>> = BTreeMap::new();
    for (place, write) in writes.iter().enumerate() {
        by_record.entry((write.key, &write.client)).or_default().push(place);
    }
    let mut merged = vec![false; writes.len()];
    for ((key, client), places) in by_record {
        let fragments: HashMap<&str, usize> =
            places.iter().map(|place| (&*writes[*place].fragment, *place)).collect();
        sql.query(
            "SELECT entry FROM _ferry_record_history WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4
             AND instr(entry, ?5)",
            &[owner.into(), app.into(), key.coll.into(), key.id.into(), client.into()],
            &mut |row| {
                for fragment in history::accepted(row.text(0)?) {
                    if let Some(place) = fragments.get(&*fragment) {
                        merged[*place] = true;
                    }
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        // Equal writes of one push stand in the history together.
        for place in places {
            merged[place] = merged[fragments[&*writes[place].fragment]];
        }
    }
    Ok(merged)
}

pub(super) fn add_conflicts<S: Sql>(
    sql: &S,
    owner: &str,
    found: UnixNanos,
    conflicts: &[Conflict],
) -> Result<(), S::Error> {
    for conflict in conflicts {
        let (winner, loser) = (&conflict.winner, &conflict.loser);
        sql.execute(
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
