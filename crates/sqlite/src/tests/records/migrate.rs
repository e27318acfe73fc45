//! Files of earlier programs.

use ferry_core::records::{
    CollectionKey, Dialect, RecordMaintenance as _, RecordQueries as _, RecordStore as _, TombstonesDue,
    sqlite::SqliteRecords,
};
use ferry_protocol::records::UnixNanos;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::hub::{APP, Hub};
use crate::NativeSql;

/// Its owner.
const DEV: &str = "dev";
/// Its newest commit.
const NEWEST: UnixNanos = UnixNanos(1_795_956_149_560_000_000);
const FOREVER: UnixNanos = UnixNanos(i64::MAX);

fn hub_of_layout_2() -> Hub {
    let hub = Hub::new(100);
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(include_str!("layout_2.sql")).unwrap();
    hub.now.set(NEWEST.plus_ms(1_000));
    Hub { connection, ..hub }
}

fn entries(hub: &Hub, coll: &str, id: &str) -> Vec<(UnixNanos, String)> {
    let sql = NativeSql(&hub.connection);
    let of = CollectionKey { owner: DEV, app: APP, coll };
    SqliteRecords::new(&sql).history(of, id, 10).unwrap()
}

/// The history as the old table has it.
fn old_entries(hub: &Hub, coll: &str, id: &str) -> Vec<(UnixNanos, String)> {
    let text = "SELECT cts, entry FROM _ferry_record_history WHERE coll = ?1 AND id = ?2 ORDER BY cts DESC";
    let mut statement = hub.connection.prepare(text).unwrap();
    let rows = statement.query_map([coll, id], |row| Ok((UnixNanos(row.get(0)?), row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

fn migrated(hub: &Hub) {
    let sql = NativeSql(&hub.connection);
    let store = SqliteRecords::new(&sql);
    assert!(store.is_outdated().unwrap());
    hub.connection.execute_batch("BEGIN").unwrap();
    store.migrate(str::to_owned).unwrap();
    hub.connection.execute_batch("COMMIT").unwrap();
    assert!(!store.is_outdated().unwrap());
}

#[test]
fn a_file_of_layout_2_keeps_everything() {
    let hub = hub_of_layout_2();
    let state = hub.state();
    let records = [("tasks", "t1"), ("tasks", "t2"), ("tasks", "gone"), ("tasks", "waits"), ("lists", "l1")];
    let histories = records.map(|(coll, id)| old_entries(&hub, coll, id));
    assert_eq!(histories.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2, 1, 1]);
    migrated(&hub);
    assert_eq!(hub.state(), state);
    assert_eq!(records.map(|(coll, id)| entries(&hub, coll, id)), histories);
    let sql = NativeSql(&hub.connection);
    let store = SqliteRecords::new(&sql);
    let device = store.begin(DEV, "c", APP).unwrap();
    assert_eq!(
        (device.owner.last_cts, device.owner.horizon, device.has_stamps),
        (NEWEST, UnixNanos::EPOCH, true)
    );
    assert_eq!(device.cursors.len(), 1);
    assert!(store.has_skew(DEV, Some(("c", APP))).unwrap());
    assert_eq!(store.conflicts(DEV, "open", 0, 10).unwrap().len(), 1);
    assert_eq!(store.owner_names(10).unwrap(), [DEV]);
    let due = TombstonesDue { newest: FOREVER, oldest: FOREVER, seen_since: FOREVER, limit: 10 };
    let due = store.tombstones(&due).unwrap();
    assert_eq!(due.iter().map(|tombstone| &*tombstone.key.id).collect::<Vec<_>>(), ["gone"]);
    let waiting = store.take_incomplete(FOREVER, 10).unwrap();
    assert_eq!(waiting.iter().map(|key| &*key.id).collect::<Vec<_>>(), ["waits"]);
    assert_eq!(hub.text("PRAGMA integrity_check").as_deref(), Some("ok"));
}

#[test]
fn a_migrated_file_is_written_like_a_new_one() {
    let hub = hub_of_layout_2();
    migrated(&hub);
    let push = |changes: &[Value]| {
        hub.sleep_ms(1_000);
        hub.push_of(DEV, "a", UnixNanos::EPOCH, Dialect::Ferry, changes)
    };
    let edit = |id: &str, field: &str| {
        json!({"table": "tasks", "id": id, "op": "update",
            "fields": {field: {"value": "new", "at": hub.now.get().text()}}})
    };
    push(&[edit("t1", "title"), edit("made", "title")]);
    push(&[edit("t1", "other")]);
    assert_eq!((entries(&hub, "tasks", "t1").len(), entries(&hub, "tasks", "made").len()), (5, 1));
    let newest = entries(&hub, "tasks", "t1").remove(0).1;
    assert!(newest.contains(r#""other""#), "{newest}");
    // The view shows the field that has come.
    assert_eq!(
        hub.text("SELECT other || note FROM records_todo__tasks WHERE id = 't1'").unwrap(),
        "newthird"
    );
    // A write that was merged before the migration is no conflict when it comes again.
    let again = json!({"table": "tasks", "id": "t1", "op": "update",
        "fields": {"title": {"value": "one, again", "at": "2026-01-01T10:02:00.000Z"}}});
    push(&[again]);
    assert_eq!(hub.count("SELECT count(*) FROM _ferry_record_conflicts WHERE loser = '\"one, again\"'"), 0);
    let sql = NativeSql(&hub.connection);
    assert!(SqliteRecords::new(&sql).remove_owner(DEV).unwrap());
    assert_eq!(hub.count("SELECT count(*) FROM _ferry_record_history"), 0);
    assert_eq!(hub.state(), "");
}

/// A number of the history that was free again was given to another record, whose entry then stood in both histories.
#[test]
fn an_entry_belongs_to_the_record_that_it_is_of() {
    let hub = Hub::new(100);
    let edit = |id: &str, value: &str| {
        hub.sleep_ms(1_000);
        json!({"table": "tasks", "id": id, "op": "update",
            "fields": {"title": {"value": value, "at": hub.now.get().text()}}})
    };
    let push = |change: Value| hub.push_of(DEV, "a", UnixNanos::EPOCH, Dialect::Ferry, &[change]);
    push(edit("t1", "first"));
    push(edit("t1", "second"));
    // All of it is forgotten, and numbers begin anew.
    hub.connection.execute_batch("DELETE FROM _ferry_record_history").unwrap();
    push(edit("t2", "other"));
    push(edit("t2", "another"));
    assert_eq!(entries(&hub, "tasks", "t1"), []);
    push(edit("t1", "third"));
    push(edit("t1", "fourth"));
    assert_eq!((entries(&hub, "tasks", "t1").len(), entries(&hub, "tasks", "t2").len()), (2, 2));
}
