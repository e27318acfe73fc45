//! What a file remembers of the runs of the hub, and what a position says that one of them gave out.

use ferry_core::{
    lineage::FileNote,
    records::{
        Dialect, RecordStore as _, maintenance,
        restore::{Given, GivenBy, loss},
        sqlite::SqliteRecords,
    },
};
use ferry_protocol::records::UnixNanos;
use ferry_types::{RunId, limits::RECORDS_RUNS_MAX};
use serde_json::json;

use super::hub::{BEGIN, Hub, OWNER};
use crate::NativeSql;

/// A run that writes a record with its first commit.
fn run(hub: &Hub, place: u64) -> UnixNanos {
    let sql = NativeSql(&hub.connection);
    let note = FileNote { run: RunId(place), place, break_number: 0 };
    hub.connection.execute_batch("BEGIN").unwrap();
    let newest = note.newest_records(&sql).unwrap();
    hub.sleep_ms(1);
    let record = json!({"table": "tasks", "id": "t", "op": "update",
        "fields": {"n": {"value": place, "at": hub.now.get().text()}}});
    hub.push("d", BEGIN, Dialect::Ferry, &[record]);
    note.write(&sql, newest).unwrap();
    hub.connection.execute_batch("COMMIT").unwrap();
    assert_eq!(note.newest_records(&sql).unwrap(), None, "only before its first commit");
    SqliteRecords::new(&sql).owner(OWNER).unwrap().last_cts
}

/// Whether a position of a run shows that the hub was put back, told with the owner's epoch.
fn is_lost(hub: &Hub, at: UnixNanos, by: Option<GivenBy>) -> bool {
    let sql = NativeSql(&hub.connection);
    let store = SqliteRecords::new(&sql);
    let owner = store.owner(OWNER).unwrap();
    loss(&store, &owner, Given { at, by }, true).unwrap().is_some()
}

// A hub was put back to a state of the middle of a run and its clock was not as far as before: the next run's commits took the times
// of those that were lost, and no time told the two apart.
// Verifies: OPR-36, REC-22
#[test]
fn a_position_is_judged_by_what_the_next_run_found() {
    let hub = Hub::new(100);
    let first = run(&hub, 3);
    let second = run(&hub, 8);
    let third = run(&hub, 12);
    let between = UnixNanos(first.0 + 8);
    assert!(first < between && between < second && second < third);
    for (at, by, expected) in [
        (first, Some(GivenBy::Earlier(3)), false),
        (between, Some(GivenBy::Earlier(3)), true),
        (second, Some(GivenBy::Earlier(3)), true),
        // It wrote nothing here, and so gave out nothing beyond what was there.
        (first, Some(GivenBy::Earlier(5)), false),
        (between, Some(GivenBy::Earlier(5)), true),
        (second, Some(GivenBy::Earlier(8)), false),
        (second, Some(GivenBy::Earlier(11)), false),
        (third, Some(GivenBy::Earlier(8)), true),
        (third, Some(GivenBy::ThisRun), false),
        (first, Some(GivenBy::Unknown), true),
        (UnixNanos::EPOCH, Some(GivenBy::Unknown), false),
        // An older program's, or another wire's.
        (between, None, false),
    ] {
        assert_eq!(is_lost(&hub, at, by), expected, "{at:?} {by:?}");
    }
    // With an epoch of its own nothing of before counts: the cursors of before are told by it.
    let sql = NativeSql(&hub.connection);
    maintenance::begin_epoch(&SqliteRecords::new(&sql), "e2", hub.now.get()).unwrap();
    assert_eq!(hub.count("SELECT count(*) FROM _ferry_record_runs"), 0);
}

// Verifies: OPR-36
#[test]
fn of_ten_thousand_runs_the_last_are_remembered_and_none_is_taken_for_a_loss() {
    let hub = Hub::new(100);
    hub.connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let positions: Vec<UnixNanos> = (1..=10_000).map(|place| run(&hub, place)).collect();
    assert_eq!(hub.count("SELECT count(*) FROM _ferry_record_runs"), RECORDS_RUNS_MAX);
    for (place, at) in (1..).zip(&positions).take(9_999) {
        assert!(!is_lost(&hub, *at, Some(GivenBy::Earlier(place))), "{place}");
    }
    // Of those that are forgotten, what lies beyond the oldest that is remembered.
    let newest = *positions.last().unwrap();
    assert!(is_lost(&hub, newest, Some(GivenBy::Earlier(1))));
    assert!(is_lost(&hub, positions[9_998], Some(GivenBy::Earlier(9_998))));
}

// A file without records costs no table, and one whose tables an older program made is left for its migration.
// Verifies: OPR-36
#[test]
fn a_file_without_records_notes_the_run_alone() {
    let hub = Hub::new(100);
    let sql = NativeSql(&hub.connection);
    let note = FileNote { run: RunId(1), place: 1, break_number: 0 };
    assert_eq!(note.newest_records(&sql).unwrap(), None);
    hub.connection.execute_batch("DELETE FROM _ferry_meta WHERE key = 'records_schema'").unwrap();
    hub.connection.execute_batch("DROP INDEX _ferry_records_by_cts").unwrap();
    assert_eq!(note.newest_records(&sql).unwrap(), None);
    note.write(&sql, None).unwrap();
    assert_eq!(hub.count("SELECT count(*) FROM sqlite_schema WHERE name = '_ferry_record_runs'"), 0);
}
