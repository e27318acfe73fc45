//! What has changed in a file is found without reading it where that is safe, and never missed (scenario 11).

use std::{
    fs::{self, File, FileTimes, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::Command,
};

use ferry_testkit::{command::Ferry, rng::Rng, sample::Shape};
use rusqlite::Connection;
use serde_json::Value;

use super::sync::{ada, run};
use crate::support::hub;

/// A file that is synced, and settled: long enough ago that its times can be relied on.
fn synced(ferry: &Ferry, wal: bool) -> std::path::PathBuf {
    let file = ferry.file("app.db");
    Shape { wal, ..Shape::default() }.create(&file, 800, 1);
    ferry.ok(&["push", "app.db", "app"]);
    file
}

fn status(ferry: &Ferry) -> Value {
    serde_json::from_str(&ferry.ok(&["status", "app.db", "--json"])).unwrap()
}

#[track_caller]
fn assert_unchanged(ferry: &Ferry, looked_at: &str) {
    let found = status(ferry);
    assert_eq!(
        (&found["changed"], found["looked_at"].as_str()),
        (&Value::Bool(false), Some(looked_at)),
        "{found}"
    );
}

#[track_caller]
fn assert_changed(ferry: &Ferry) -> Value {
    let found = status(ferry);
    assert_eq!(found["changed"], Value::Bool(true), "{found}");
    found
}

fn touch(file: &Path) {
    assert!(Command::new("touch").arg(file).status().unwrap().success());
}

/// Changes a byte behind SQLite's back, and puts the time of the last change back.
fn edit_in_place(file: &Path, at: u64) {
    let found = fs::metadata(file).unwrap();
    let mut open = OpenOptions::new().write(true).open(file).unwrap();
    open.seek(SeekFrom::Start(at)).unwrap();
    open.write_all(b"\x7f").unwrap();
    open.set_times(FileTimes::new().set_modified(found.modified().unwrap())).unwrap();
    drop(open);
    assert_eq!(fs::metadata(file).unwrap().mtime_nsec(), found.mtime_nsec());
}

// Verifies: PAG-62
#[test]
fn an_untouched_file_is_not_read_and_a_touched_one_is() {
    for wal in [false, true] {
        let hub = hub();
        let ferry = ada(&hub);
        let file = synced(&ferry, wal);
        assert_unchanged(&ferry, "mark");
        touch(&file);
        assert_unchanged(&ferry, "scan");
        assert_unchanged(&ferry, "mark");
    }
}

// Verifies: PAG-62
#[test]
fn the_newest_frames_of_a_wal_tell_which_pages_changed() {
    let hub = hub();
    let ferry = ada(&hub);
    let file = synced(&ferry, true);
    // A program that has the file open: its WAL stays.
    let open = Connection::open(&file).unwrap();
    open.execute_batch("PRAGMA wal_autocheckpoint=0; UPDATE item SET price = 1 WHERE id = 5").unwrap();
    let found = assert_changed(&ferry);
    assert_eq!(found["looked_at"], "wal_tail", "{found}");
    let pushed: Value = serde_json::from_str(&ferry.ok(&["push", "app.db", "--json"])).unwrap();
    assert!(pushed["pages"].as_u64().unwrap() < 8, "{pushed}");
    assert_unchanged(&ferry, "mark");
    open.execute_batch(
        "UPDATE item SET price = 2 WHERE id = 700; INSERT INTO item(name, price) VALUES ('new', 3)",
    )
    .unwrap();
    let found = assert_changed(&ferry);
    assert_eq!(found["looked_at"], "wal_tail", "{found}");
    ferry.ok(&["push", "app.db"]);
    assert!(ferry.ok(&["verify", "app.db"]).contains("integrity check: ok"));
    // Restarted from its beginning, with new salts, or gone: the file is read.
    open.execute_batch("PRAGMA wal_checkpoint(RESTART); UPDATE item SET price = 4 WHERE id = 9").unwrap();
    assert_changed(&ferry);
    ferry.ok(&["push", "app.db"]);
    open.execute_batch("UPDATE item SET price = 5 WHERE id = 9; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert_changed(&ferry);
    ferry.ok(&["push", "app.db"]);
    open.execute_batch("UPDATE item SET price = 6 WHERE id = 9").unwrap();
    drop(open);
    assert!(!ferry.file("app.db-wal").exists(), "SQLite has removed it");
    assert_changed(&ferry);
    ferry.ok(&["push", "app.db"]);
    assert!(ferry.ok(&["verify", "app.db"]).contains("integrity check: ok"));
}

// Verifies: PAG-62
#[test]
fn files_that_only_look_the_same_are_read() {
    let hub = hub();
    let ferry = ada(&hub);
    let file = synced(&ferry, false);
    let kept = ferry.file("kept.db");
    assert!(Command::new("cp").arg("-p").args([&file, &kept]).status().unwrap().success());
    run(&file, "UPDATE item SET price = 8 WHERE id = 8");
    ferry.ok(&["push", "app.db"]);
    // An older copy of the same length, with its old times, under the name.
    assert!(Command::new("cp").arg("-p").args([&kept, &file]).status().unwrap().success());
    assert_changed(&ferry);
    fs::rename(&kept, &file).unwrap();
    assert_changed(&ferry);
    ferry.ok(&["push", "app.db"]);
    assert_unchanged(&ferry, "mark");
    // A page changed by a program that is no SQLite, which hides it.
    let bytes = fs::metadata(&file).unwrap().len();
    edit_in_place(&file, bytes - 100);
    assert_changed(&ferry);
}

/// Writes between and beside pushes, again and again: what is pushed in the end is what the file holds.
// Verifies: PAG-62
#[test]
fn no_write_within_a_clock_tick_is_missed() {
    for wal in [true, false] {
        let hub = hub();
        let ferry = ada(&hub);
        let file = synced(&ferry, wal);
        let mut rng = Rng::new(7);
        for round in 0..12 {
            run(&file, &format!("UPDATE item SET price = {round} WHERE id = {}", 1 + rng.below(700)));
            ferry.ok(&["push", "app.db"]);
            // Right behind the push, in the same tick of the clock as far as that goes.
            run(&file, &format!("UPDATE item SET name = 'tick {round}' WHERE id = {}", 1 + rng.below(700)));
            assert_changed(&ferry);
        }
        ferry.ok(&["push", "app.db"]);
        assert!(ferry.ok(&["verify", "app.db"]).contains("is the hub's"));
        drop(File::open(&file).unwrap());
    }
}
