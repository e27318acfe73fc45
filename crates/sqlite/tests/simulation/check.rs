//! What must hold at the end of every schedule.

use std::collections::{BTreeMap, BTreeSet};

use ferry_core::ops::merge;
use ferry_sqlite::NativeSql;
use rusqlite::{Connection, types::Value};

use super::{hephd::Hephd, hub::Hub, spoke::Spoke, world::Faults};

fn rows(connection: &Connection, query: &str) -> Vec<Vec<String>> {
    let mut statement = connection.prepare(query).unwrap();
    let columns = statement.column_count();
    let read = statement.query_map([], |row| {
        (0..columns)
            .map(|column| {
                Ok(match row.get::<_, Value>(column)? {
                    Value::Null => "NULL".to_owned(),
                    Value::Integer(value) => value.to_string(),
                    Value::Real(value) => value.to_string(),
                    Value::Text(value) => value,
                    Value::Blob(value) => format!("{value:02x?}"),
                })
            })
            .collect::<rusqlite::Result<Vec<String>>>()
    });
    read.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// What any two stores with the same ops agree on, whatever was compacted in either.
fn state(connection: &Connection) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for query in [
        "SELECT 'entity', entity, type, type_id, dead, hlc FROM _ferry_op_entities ORDER BY entity",
        "SELECT 'field', entity, field, winner, hlc, value FROM _ferry_op_fields WHERE winner IS NOT NULL
            ORDER BY entity, field",
        "SELECT DISTINCT 'link', entity, field, target FROM _ferry_op_links WHERE removed = 0
            ORDER BY entity, field, target",
        "SELECT 'conflict', id, entity, field, loser FROM _ferry_op_conflicts WHERE open = 1 ORDER BY id",
    ] {
        all.extend(rows(connection, query));
    }
    for row in
        rows(connection, "SELECT entity, field FROM _ferry_op_fields WHERE text_id IS NOT NULL ORDER BY 1, 2")
    {
        let read = merge::text::read(&NativeSql(connection), &row[0], &row[1]).unwrap();
        all.push(vec!["text".to_owned(), row[0].clone(), row[1].clone(), read]);
    }
    all
}

/// The same of what was not deleted: a hub forgets what was, some day, and spokes do not (OPS-43).
fn living(connection: &Connection) -> Vec<Vec<String>> {
    let dead: BTreeSet<String> = rows(connection, "SELECT entity FROM _ferry_op_entities WHERE dead = 1")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    let entity = |row: &Vec<String>| if row[0] == "conflict" { row[2].clone() } else { row[1].clone() };
    state(connection).into_iter().filter(|row| !dead.contains(&entity(row))).collect()
}

/// Foreign ops are everywhere, each as it was written, and so with hephd's clients.
pub(crate) fn foreign(hub: &Hub, spokes: &[Spoke], clients: &[Hephd]) {
    let of = |connection: &Connection| {
        let all = rows(connection, "SELECT hlc, raw FROM _ferry_ops WHERE kind IS NULL ORDER BY hlc, raw");
        all.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect::<BTreeSet<_>>()
    };
    let expected = of(&hub.connection);
    for (at, spoke) in spokes.iter().enumerate() {
        assert_eq!(of(&spoke.connection), expected, "spoke {at}: foreign ops");
    }
    for (at, client) in clients.iter().enumerate() {
        assert_eq!(client.ops, expected, "hephd's client {at}");
    }
}

/// Heads of scalars. A store that never had what was dropped may hold a late write for one that another store knows to be
/// covered; neither is in conflict for that.
fn heads(connection: &Connection) -> Vec<Vec<String>> {
    rows(
        connection,
        "SELECT entity, field, winner AS id FROM _ferry_op_fields WHERE is_head = 1
            UNION SELECT entity, field, id FROM _ferry_op_heads WHERE kind = 'set' ORDER BY 1, 2, 3",
    )
}

/// Whether anything has happened.
pub(crate) fn fingerprint(hub: &Hub, spokes: &[Spoke]) -> Vec<Vec<Vec<String>>> {
    let of = |connection: &Connection| {
        rows(connection, "SELECT op_seq, id, hub_seq FROM _ferry_ops ORDER BY op_seq")
    };
    let mut all = vec![of(&hub.connection)];
    for spoke in spokes {
        all.push(of(&spoke.connection));
        all.push(rows(&spoke.connection, "SELECT id, state, code FROM _ferry_op_outbox ORDER BY id"));
    }
    all
}

fn conflicts(connection: &Connection) -> BTreeMap<String, String> {
    let all = rows(connection, "SELECT id, raw FROM _ferry_ops WHERE kind = 'conflict'");
    all.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
}

pub(crate) fn equal(hub: &Hub, spokes: &[Spoke], faults: Faults) {
    let state = |connection: &Connection| if faults.purges { living(connection) } else { state(connection) };
    let expected = state(&hub.connection);
    let recorded = conflicts(&hub.connection);
    for (at, spoke) in spokes.iter().enumerate() {
        let shown = state(&spoke.connection);
        if shown != expected {
            let only = |some: &[Vec<String>], others: &[Vec<String>]| -> Vec<Vec<String>> {
                some.iter().filter(|row| !others.contains(row)).cloned().collect()
            };
            panic!(
                "spoke {at} differs: the hub alone has {:#?}, the spoke alone {:#?}",
                only(&expected, &shown),
                only(&shown, &expected)
            );
        }
        if !faults.compaction && !faults.purges {
            assert_eq!(heads(&spoke.connection), heads(&hub.connection), "spoke {at}: heads");
        }
        for (id, raw) in conflicts(&spoke.connection) {
            if let Some(known) = recorded.get(&id) {
                assert_eq!(*known, raw, "spoke {at}");
            }
        }
        let waiting =
            rows(&spoke.connection, "SELECT id, state, code FROM _ferry_op_outbox WHERE state = 'pending'");
        assert!(waiting.is_empty(), "spoke {at}: {waiting:?}");
        let refused = "SELECT id, code FROM _ferry_op_outbox WHERE state = 'refused'
            AND code IN ('origin_forbidden', 'entity_forbidden')";
        assert!(rows(&spoke.connection, refused).is_empty(), "spoke {at}: it may write everything by now");
    }
    // What is derived is what the log says.
    for connection in std::iter::once(&hub.connection).chain(spokes.iter().map(|spoke| &spoke.connection)) {
        let before = state(connection);
        merge::rebuild(&NativeSql(connection)).unwrap();
        assert_eq!(state(connection), before, "folded anew");
    }
}

fn holds(connection: &Connection, id: &str) -> bool {
    let query = "SELECT count(*) FROM _ferry_ops WHERE id = ?1";
    connection.query_row(query, [id], |row| row.get::<_, i64>(0)).unwrap() > 0
}

pub(crate) fn nothing_lost(hub: &Hub, spokes: &[Spoke], faults: Faults) {
    let was_compacted = faults.compaction || faults.purges;
    let known = |id: &str| {
        let query = "SELECT count(*) FROM (SELECT id FROM _ferry_ops UNION ALL SELECT id FROM _ferry_op_seen) WHERE id = ?1";
        hub.connection.query_row(query, [id], |row| row.get::<_, i64>(0)).unwrap() > 0
    };
    for (at, spoke) in spokes.iter().enumerate() {
        for (id, raw) in &spoke.acknowledged {
            let mut current = id.clone();
            while !known(&current) {
                let entry = rows(
                    &spoke.connection,
                    &format!("SELECT state, code FROM _ferry_op_outbox WHERE id = '{current}'"),
                );
                match entry.first().map(|entry| (entry[0].as_str(), entry[1].clone())) {
                    Some(("replaced", by)) => current = by,
                    // Told to its user as a problem, and kept.
                    Some(("refused", _)) => break,
                    // Compacted here, and the hub that knew it was replaced: it is covered wherever it is (OPS-40).
                    // What was there when an operator emptied the log, or is behind the horizon.
                    None if (faults.discards || faults.purges) && hub.ever_stored.contains(&current) => break,
                    None if was_compacted && !holds(&spoke.connection, &current) => break,
                    other => panic!("spoke {at}: {raw} is lost: {current} is {other:?}"),
                }
            }
        }
    }
}
