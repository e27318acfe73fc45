//! SQLite files of every format are transferred unchanged (pages, scenario 7).

use std::{collections::BTreeMap, fs, path::Path};

use ferry_testkit::{
    Direction,
    command::Ferry,
    dump::{assert_equal, image},
    frames::Frame,
    sample::Shape,
    socket::{Event, Socket},
};
use rusqlite::Connection;

use crate::support::{FERRY, Place};

fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for (place, page_size) in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536].into_iter().enumerate() {
        for auto_vacuum in [0, 1, 2] {
            // The other qualities take turns, so that each meets every page size and auto_vacuum in some run.
            let turn = place + usize::from(auto_vacuum);
            let reserved = if turn % 2 == 0 { 0 } else { 32 };
            shapes.push(Shape { page_size, auto_vacuum, reserved, utf16: turn % 3 == 0, wal: turn % 4 < 2 });
        }
    }
    shapes
}

// Verifies: PAG-44, PAG-66
#[test]
fn every_shape_is_pushed_cloned_changed_and_pulled() {
    let place = Place::new();
    let ferry = Ferry::new(FERRY, &place.hub.url());
    for (number, shape) in shapes().into_iter().enumerate() {
        let database = place.user.create_database(&format!("shape-{number}"));
        let token = |direction| place.user.sync_token(&database, direction);
        let push = token(Direction::Push);
        let pull = token(Direction::Pull);
        let file = ferry.file(&format!("{number}.db"));
        let copy = ferry.file(&format!("{number}-copy.db"));
        shape.create(&file, 300, number as u64);
        let round = |what: &str| {
            let (file, copy) = (file.display().to_string(), copy.display().to_string());
            ferry.clone().env("FERRY_SYNC_TOKEN", &push).ok(&["sync", "push", "--db", &file]);
            ferry.clone().env("FERRY_SYNC_TOKEN", &pull).ok(&["sync", "pull", "--db", &copy]);
            assert_equal(Path::new(&file), Path::new(&copy));
            assert_eq!(image(Path::new(&file)), image(Path::new(&copy)), "{shape:?} after {what}");
        };
        round("the first push");
        let connection = Connection::open(&file).unwrap();
        shape.fill(&connection, 200, 77);
        connection
            .execute_batch("DELETE FROM item WHERE id % 5 = 0; UPDATE item SET price = 1 WHERE id % 7 = 0")
            .unwrap();
        round("rows");
        connection.execute_batch("DELETE FROM item WHERE id > 50; DELETE FROM tag; VACUUM").unwrap();
        round("VACUUM to a smaller file");
        let mode = if shape.wal { "DELETE" } else { "WAL" };
        connection.execute_batch(&format!("PRAGMA journal_mode={mode}; UPDATE item SET price = 2")).unwrap();
        round("another journal mode");
        if shape.reserved == 0 {
            let other = if shape.page_size == 4096 { 8192 } else { 4096 };
            connection
                .execute_batch(&format!("PRAGMA journal_mode=DELETE; PRAGMA page_size={other}; VACUUM"))
                .unwrap();
            round("another page size");
        }
    }
}

// Verifies: PAG-01
#[test]
fn a_pushed_file_without_wal_comes_back_byte_for_byte() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 300, 1);
    place.push(&file);
    let mut socket = Socket::open(place.hub.address(), &place.pull_token()).unwrap();
    socket.send(&Frame::hello(0));
    socket.send(&Frame::Complete);
    let mut got = BTreeMap::new();
    loop {
        match socket.next() {
            Event::Frame(Frame::PageData { page_no, data }) => drop(got.insert(page_no, data)),
            Event::Frame(_) => {}
            _ => break,
        }
    }
    assert_eq!(got.into_values().flatten().collect::<Vec<u8>>(), fs::read(&file).unwrap());
}

/// A database of 1.1 GiB that is almost all free and zero: the page over SQLite's lock bytes is never sent.
// Verifies: PAG-44
#[test]
fn the_lock_page_is_never_sent() {
    const PAGE: u32 = 65536;
    const LOCK_PAGE: u32 = (1 << 30) / PAGE + 1;
    let place = Place::new();
    let ferry = Ferry::new(FERRY, &place.hub.url());
    let file = ferry.file("sparse.db");
    Shape { page_size: PAGE, ..Shape::default() }.create(&file, 10, 1);
    {
        let connection = Connection::open(&file).unwrap();
        // With secure_delete the freed pages become zeros, which need not travel.
        connection
            .execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA secure_delete=ON; CREATE TABLE hole(x)")
            .unwrap();
        for _ in 0..3 {
            connection.execute_batch("INSERT INTO hole VALUES (zeroblob(400000000))").unwrap();
        }
        connection.execute_batch("DELETE FROM hole").unwrap();
    }
    let count = u32::try_from(fs::metadata(&file).unwrap().len() / u64::from(PAGE)).unwrap();
    assert!(count > LOCK_PAGE, "{count} pages");
    let token = place.push_token();
    let said = ferry.clone().env("FERRY_SYNC_TOKEN", &token).ok(&["sync", "push", "--db", "sparse.db"]);
    assert!(said.starts_with("sync complete: "), "{said}");

    // A client that has one page, of another content, is sent every page but that one.
    let mut socket = Socket::open(place.hub.address(), &place.pull_token()).unwrap();
    socket.send(&Frame::hello(1));
    socket.send(&Frame::page_hash(1, &[0; 512]));
    socket.send(&Frame::Complete);
    let mut sent = 0;
    loop {
        match socket.next() {
            Event::Frame(Frame::PageData { page_no, .. }) => {
                assert_ne!(page_no, LOCK_PAGE);
                sent += 1;
            }
            Event::Frame(Frame::SyncComplete { .. }) => break,
            Event::Frame(Frame::HelloReply { max_page, .. }) => assert_eq!(max_page, count),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sent, count - 1);
}
