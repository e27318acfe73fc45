//! A pull gets one version, whatever is committed meanwhile.

use std::{collections::BTreeMap, fs};

use ferry_testkit::{
    bank, dump,
    frames::Frame,
    socket::{Event, Socket},
};
use rusqlite::Connection;

use crate::support::Place;

fn scramble(file: &std::path::Path, seed: u32) {
    let sql = format!("UPDATE account SET padding = 'round {seed}' || substr(padding, 10)");
    Connection::open(file).unwrap().execute_batch(&sql).unwrap();
}

// Verifies: PAG-10, PAG-46
#[test]
fn a_pull_that_began_before_a_push_gets_the_old_version_whole() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.db");
    bank::create(&file, false);
    place.push(&file);
    let old = folder.path().join("old.db");
    fs::copy(&file, &old).unwrap();

    let mut socket = Socket::open(place.hub.address(), &place.pull_token()).unwrap();
    socket.send(&Frame::hello(0));
    let Event::Frame(Frame::HelloReply { max_page, .. }) = socket.next() else { panic!("no reply") };
    // Many pushes, one of which changes the number of pages; the WAL goes round meanwhile.
    for round in 0..12 {
        scramble(&file, round);
        if round == 5 {
            Connection::open(&file)
                .unwrap()
                .execute_batch("CREATE TABLE more(x); INSERT INTO more VALUES (randomblob(300000))")
                .unwrap();
        }
        place.push(&file);
    }
    socket.send(&Frame::Complete);
    let (mut numbers, mut pages) = (Vec::new(), BTreeMap::new());
    loop {
        match socket.next() {
            Event::Frame(Frame::PageData { page_no, data }) => {
                numbers.push(page_no);
                pages.insert(page_no, data);
            }
            Event::Frame(Frame::SyncComplete { pages_transferred, .. }) => {
                assert_eq!(pages_transferred, u64::from(max_page));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(numbers, (2..=max_page).chain([1]).collect::<Vec<_>>(), "ascending, but page 1 last");
    let got = folder.path().join("got.db");
    fs::write(&got, pages.into_values().flatten().collect::<Vec<u8>>()).unwrap();
    dump::assert_equal(&old, &got);
    assert_eq!(
        fs::read(&old).unwrap(),
        fs::read(&got).unwrap(),
        "a file without WAL comes back byte for byte"
    );
    let copy = folder.path().join("copy.db");
    place.pull(&copy);
    dump::assert_equal(&file, &copy);
}

// Verifies: PAG-10
#[test]
fn pulls_beside_pushes_never_mix() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.db");
    bank::create(&file, false);
    place.push(&file);
    let (push, pull) = (place.push_token(), place.pull_token());
    std::thread::scope(|scope| {
        let pusher = scope.spawn(|| {
            let connection = Connection::open(&file).unwrap();
            let mut rng = ferry_testkit::rng::Rng::new(1);
            for _ in 0..25 {
                for _ in 0..40 {
                    bank::transfer(&connection, &mut rng).unwrap();
                }
                ferry_testkit::edgereplica::push(place.hub.address(), &push, &file).unwrap();
            }
        });
        let copy = folder.path().join("copy.db");
        let mut pulls = 0;
        while !pusher.is_finished() || pulls < 10 {
            ferry_testkit::edgereplica::pull(place.hub.address(), &pull, &copy).unwrap();
            assert_eq!(bank::sum(&copy).unwrap(), bank::SUM, "pull {pulls} mixes two versions");
            pulls += 1;
        }
    });
}
