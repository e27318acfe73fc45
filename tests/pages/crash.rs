//! kill -9 at every fault point of a push, in place and by swapping the file: afterwards the hub has the old version
//! or the new one, whole; an acknowledged one certainly (pages, scenario 9).

use std::{
    fs,
    path::{Path, PathBuf},
};

use ferry_testkit::{dump, sample::Shape};
use rusqlite::Connection;

use crate::support::{Place, fault_points};

/// A small change: written in place.
fn change_a_little(file: &Path) {
    Connection::open(file).unwrap().execute_batch("UPDATE item SET price = price + 1 WHERE id = 5").unwrap();
}

/// A new shape: the file is built beside and swapped in.
fn change_page_size(file: &Path) {
    let connection = Connection::open(file).unwrap();
    let size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    let other = if size == 4096 { 8192 } else { 4096 };
    connection.execute_batch(&format!("PRAGMA page_size={other}; VACUUM")).unwrap();
}

fn crash_at_every_point(prefix: &str, change: impl Fn(&Path)) {
    let points = fault_points(prefix);
    assert!(points.len() >= 3, "fault points {prefix}…: {points:?}");
    let mut place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 400, 1);
    place.push(&file);
    let mut died = Vec::new();
    for point in &points {
        let old = folder.path().join("old.db");
        fs::copy(&file, &old).unwrap();
        change(&file);
        place = place.restarted_with(|options| options.fault(format!("{point}=kill")));
        let outcome = place.try_push(&file);
        if outcome.is_err() {
            place.hub.ended();
            died.push(point.clone());
        } else {
            // The push does not pass this point; kill it all the same, right after its answer.
            place.hub.kill();
        }
        place = place.restarted();
        let got = pulled(&place, folder.path(), &old);
        let (before, after) = (dump::dump(&old), dump::dump(&file));
        if outcome.is_ok() {
            assert!(got == after, "{point}: an acknowledged push is gone");
        } else {
            assert!(got == before || got == after, "{point}: neither the old version nor the new one");
        }
        place.push(&file);
        assert!(pulled(&place, folder.path(), &file) == after, "{point}: the push after the crash");
    }
    assert!(died.len() >= 3, "only {died:?} of {points:?} were passed");
}

/// What the hub serves, pulled into a copy that has the right page size.
fn pulled(place: &Place, folder: &Path, like: &Path) -> Vec<String> {
    let copy: PathBuf = folder.join("copy.db");
    let _ = fs::remove_file(&copy);
    fs::copy(like, &copy).unwrap();
    // Whatever is there must be overwritten by what is pulled.
    match ferry_testkit::edgereplica::pull(place.hub.address(), &place.pull_token(), &copy) {
        Ok(_) => dump::dump(&copy),
        Err(failure) => panic!("{failure:?}"),
    }
}

// Verifies: PAG-02, PAG-43, PAG-47
#[test]
fn kill_9_at_every_point_of_a_push_in_place() {
    crash_at_every_point("push.", change_a_little);
}

// Verifies: PAG-02, PAG-45, PAG-47
#[test]
fn kill_9_at_every_point_of_a_swap() {
    crash_at_every_point("swap.", |file| {
        // The page size stays for the imitated client, which cannot change it; more than half of the pages differ.
        Connection::open(file).unwrap().execute_batch("UPDATE item SET body = randomblob(250)").unwrap();
    });
}

// Verifies: PAG-45
#[test]
fn a_push_of_another_page_size_replaces_the_file() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 300, 1);
    place.push(&file);
    for _ in 0..3 {
        change_page_size(&file);
        place.push(&file);
        let copy = folder.path().join("copy.db");
        fs::copy(&file, &copy).unwrap();
        Connection::open(&copy).unwrap().execute_batch("UPDATE item SET price = -1").unwrap();
        place.pull(&copy);
        dump::assert_equal(&file, &copy);
    }
    let place = place.restarted();
    let copy = folder.path().join("copy.db");
    fs::copy(&file, &copy).unwrap();
    Connection::open(&copy).unwrap().execute_batch("DELETE FROM item").unwrap();
    place.pull(&copy);
    dump::assert_equal(&file, &copy);
}

// Verifies: PAG-43
#[test]
fn versions_only_grow_over_crashes() {
    let mut place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 100, 1);
    let mut last = 0;
    for _ in 0..5 {
        change_a_little(&file);
        place.push(&file);
        let version = place.user.seq(&place.database);
        assert_eq!(version, last + 1, "a push is one version");
        last = version;
        place.hub.kill();
        place = place.restarted();
        assert_eq!(place.user.seq(&place.database), last);
    }
}
