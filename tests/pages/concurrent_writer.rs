//! Pushes of a file that is being written: every accepted version is one snapshot (pages, scenarios 5 and 6).

use std::path::Path;

use ferry_testkit::{
    bank::{self, Clerk},
    command::Ferry,
    wait,
};

use crate::support::{FERRY, Place};

/// Pulls what the hub has and checks the sum.
fn assert_one_moment(place: &Place, folder: &Path, number: usize) {
    let copy = folder.join(format!("copy-{number}.db"));
    place.pull(&copy);
    assert_eq!(bank::sum(&copy).unwrap(), bank::SUM, "version {number} mixes two moments");
    std::fs::remove_file(copy).unwrap();
}

// Verifies: PAG-07
#[test]
fn edgereplicas_client_pushing_beside_a_writer_never_mixes_snapshots() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.db");
    bank::create(&file, false);
    place.push(&file);
    let clerk = Clerk::begin(&file, 500, 1);
    let mut refused = 0;
    for number in 0..25 {
        match place.try_push(&file) {
            Ok(_) => assert_one_moment(&place, folder.path(), number),
            Err(failure) => {
                // At a page that changed since its hash was sent, or over the whole image at the end.
                let reply = failure.message();
                assert!(reply.ends_with("database changed while it was pushed; run push again"), "{reply}");
                refused += 1;
            }
        }
    }
    assert_one_moment(&place, folder.path(), 99);
    assert!(clerk.transfers() > 50, "the clerk hardly wrote: {}", clerk.transfers());
    assert!(refused > 0, "25 pushes beside 500 transfers a second and none was torn");
}

// Verifies: PAG-60, PAG-72
#[test]
fn ferrys_own_push_reads_one_snapshot() {
    for wal in [true, false] {
        let place = Place::new();
        let ferry = Ferry::new(FERRY, &place.hub.url());
        let file = ferry.file("bank.db");
        bank::create(&file, wal);
        let clerk = Clerk::begin(&file, 500, 2);
        for number in 0..10 {
            let token = place.push_token();
            let before = clerk.transfers();
            let said = ferry.clone().env("FERRY_SYNC_TOKEN", &token).ok(&["sync", "push", "--db", "bank.db"]);
            assert!(said.starts_with("sync complete: "), "{said}");
            assert_one_moment(&place, &ferry.files(), number);
            wait::until("the writer to go on", || (clerk.transfers() > before).then_some(()));
        }
    }
}

// Verifies: PAG-64
#[test]
fn readers_during_a_pull_see_the_old_or_the_new_file() {
    for wal in [true, false] {
        let place = Place::new();
        let ferry = Ferry::new(FERRY, &place.hub.url());
        let (source, copy) = (ferry.file("bank.db"), ferry.file("copy.db"));
        bank::create(&source, wal);
        place.push(&source);
        let pull = place.pull_token();
        let ferry = ferry.env("FERRY_SYNC_TOKEN", &pull);
        ferry.ok(&["sync", "pull", "--db", "copy.db"]);
        let connection = rusqlite::Connection::open(&source).unwrap();
        let mut rng = ferry_testkit::rng::Rng::new(3);
        for _ in 0..10 {
            for _ in 0..50 {
                bank::transfer(&connection, &mut rng).unwrap();
            }
            place.push(&source);
            let mut child = ferry.spawn(&["sync", "pull", "--db", "copy.db"]);
            loop {
                // A reader may get BUSY; it never sees a mixture.
                if let Ok(sum) = bank::sum(&copy) {
                    assert_eq!(sum, bank::SUM, "a reader saw half a pull");
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
            }
            let output = ferry_testkit::command::finish(child);
            assert_eq!(output.code, Some(0), "{}", output.stderr);
        }
    }
}
