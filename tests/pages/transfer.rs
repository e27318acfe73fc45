//! Push and pull as EdgeReplica's command line does them (pages, scenario 1).

use std::{fs, path::Path};

use ferry_testkit::{
    dump::{assert_equal, image},
    edgereplica,
    frames::Frame,
    sample::{self, Shape},
    socket::{Event, Socket},
};
use rusqlite::Connection;

use crate::support::Place;

fn run(file: &Path, sql: &str) {
    Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

fn page_count(file: &Path) -> u32 {
    Connection::open(file).unwrap().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap()
}

// Verifies: PAG-01, PAG-05, PAG-14
#[test]
fn pushes_and_pulls_into_new_and_older_copies() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let file = at("app.db");
    // 20 MB.
    sample::standard(&file, 78_000, 3);
    run(&file, "PRAGMA journal_mode=DELETE");
    let first = place.push(&file);
    assert_eq!(first.pages, u64::from(page_count(&file)));
    assert_eq!(first.bytes, first.pages * 4096);
    for name in ["older-1.db", "older-2.db"] {
        assert_eq!(place.pull(&at(name)).pages, first.pages);
        assert_equal(&file, &at(name));
    }

    run(&file, "UPDATE t SET amount = amount + 1 WHERE id % 1000 = 7");
    let second = place.push(&file);
    assert!(second.pages > 10 && second.pages < first.pages / 5, "{second:?}");
    place.pull(&at("older-1.db"));
    assert_equal(&file, &at("older-1.db"));

    let before = page_count(&file);
    run(&file, "DELETE FROM t WHERE id % 3 = 1");
    run(&file, "VACUUM");
    assert!(page_count(&file) < before);
    place.push(&file);
    for name in ["older-1.db", "older-2.db", "new.db"] {
        place.pull(&at(name));
        assert_equal(&file, &at(name));
        assert_eq!(page_count(&at(name)), page_count(&file), "{name}");
    }
    assert_eq!(image(&file), image(&at("new.db")));

    // Nothing changed: nothing travels but page 1, whose change counter SQLite raised when the copy committed.
    assert_eq!(place.pull(&at("new.db")).pages, 1);
    let version = place.user.seq(&place.database);
    assert_eq!(place.push(&file).pages, 0);
    assert_eq!(place.user.seq(&place.database), version, "the same image is the same version");
}

// Verifies: PAG-01
#[test]
fn an_empty_database_pulls_as_nothing() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.db");
    let report = place.pull(&file);
    assert_eq!((report.pages, report.bytes), (0, 0));
    assert_eq!(page_count(&file), 0);
}

// Verifies: PAG-03
#[test]
fn zero_pages_and_pages_the_hub_has_are_not_requested() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 2000, 1);
    place.push(&file);
    // Freed pages become zeros.
    let free = "PRAGMA secure_delete=ON; CREATE TABLE room(x); INSERT INTO room VALUES (randomblob(400000)); DELETE FROM room";
    run(&file, free);
    let report = place.push(&file);
    assert!(report.pages < 12, "100 zero pages were requested: {report:?}");
    let copy = folder.path().join("copy.db");
    place.pull(&copy);
    assert_equal(&file, &copy);
}

/// The hub cannot tell a push of an empty file from a pull into one: its advice must fit both.
#[track_caller]
fn assert_empties_nothing(failure: &edgereplica::Failure) {
    let reply = failure.message();
    assert!(reply.starts_with("nothing announced: this token allows push only"), "{reply}");
    assert!(
        reply.contains("an empty file never replaces a database") && reply.contains("token for pull"),
        "{reply}"
    );
}

// The empty file only got "this token allows push only", which is what it was there for.
// Verifies: PAG-09
#[test]
fn a_push_of_nothing_does_not_empty_the_hub() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 50, 1);
    let empty = folder.path().join("empty.db");
    fs::write(&empty, b"").unwrap();
    place.push(&file);
    let failure = place.try_push(&empty).unwrap_err();
    assert_empties_nothing(&failure);
    // A pull with a push token is that same session.
    let failure = edgereplica::pull(place.hub.address(), &place.push_token(), &empty).unwrap_err();
    assert_empties_nothing(&failure);
    let copy = folder.path().join("copy.db");
    place.pull(&copy);
    assert_equal(&file, &copy);
}

// Verifies: PAG-13
#[test]
fn a_new_file_of_another_page_size_is_refused_with_advice() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape { page_size: 8192, ..Shape::default() }.create(&file, 50, 1);
    place.push(&file);
    let new = folder.path().join("new.db");
    let failure = edgereplica::pull(place.hub.address(), &place.pull_token(), &new).unwrap_err();
    assert_eq!(failure.message(), "page size is 8192; this client can only create 4096: use ferry pull");
    // A copy that has the page size already is served.
    let copy = folder.path().join("copy.db");
    fs::copy(&file, &copy).unwrap();
    run(&file, "DELETE FROM tag");
    place.push(&file);
    place.pull(&copy);
    assert_equal(&file, &copy);
}

// Verifies: PAG-15
#[test]
fn a_mismatching_batch_leaves_its_pages_unannounced() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 300, 1);
    place.push(&file);
    run(&file, "UPDATE item SET price = price + 1 WHERE id = 7");
    let pages = image_as_is(&file);
    let max_page = u32::try_from(pages.len()).unwrap();
    let mut combined = Vec::new();
    for page in &pages {
        combined.extend_from_slice(blake3::hash(page).as_bytes());
    }
    let batch = Frame::PageHashBatch {
        start_page: 1,
        end_page: max_page,
        combined_hash: blake3::hash(&combined).as_bytes().to_vec(),
    };
    let mut socket = Socket::open(place.hub.address(), &place.push_token()).unwrap();
    socket.send(&Frame::hello(max_page));
    assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
    socket.send(&batch);
    let Event::Frame(Frame::HashMismatchBatch { page_numbers }) = socket.next() else {
        panic!("the batch differs from the hub's pages");
    };
    assert_eq!(page_numbers, (1..=max_page).collect::<Vec<_>>());
    // Announced one by one, they are requested and the push goes through.
    for (place, page) in pages.iter().enumerate() {
        socket.feed(&Frame::page_hash(u32::try_from(place + 1).unwrap(), page));
    }
    socket.send(&Frame::Complete);
    loop {
        match socket.next() {
            Event::Frame(Frame::RequestPage { page_no }) => {
                let data = pages[page_no as usize - 1].clone();
                socket.send(&Frame::PageData { page_no, data });
            }
            Event::Frame(Frame::SyncComplete { .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    let copy = folder.path().join("copy.db");
    place.pull(&copy);
    assert_equal(&file, &copy);
}

/// Every page as the file has it.
fn image_as_is(file: &Path) -> Vec<Vec<u8>> {
    fs::read(file).unwrap().chunks(4096).map(<[u8]>::to_vec).collect()
}

// Verifies: PAG-15
#[test]
fn a_matching_batch_and_batched_data_are_understood() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 300, 1);
    place.push(&file);
    let pages = image_as_is(&file);
    let max_page = u32::try_from(pages.len()).unwrap();
    let hashes = |from: usize| {
        let joined: Vec<u8> =
            pages[from..].iter().flat_map(|page| blake3::hash(page).as_bytes().to_vec()).collect();
        blake3::hash(&joined).as_bytes().to_vec()
    };
    let mut socket = Socket::open(place.hub.address(), &place.push_token()).unwrap();
    socket.send(&Frame::hello(max_page));
    socket.next();
    // Page 1 has another change counter, as after a commit that changed nothing else.
    let mut changed = pages[0].clone();
    changed[27] = changed[27].wrapping_add(1);
    changed[95] = changed[95].wrapping_add(1);
    socket.send(&Frame::page_hash(1, &changed));
    socket.send(&Frame::PageHashBatch { start_page: 2, end_page: max_page, combined_hash: hashes(1) });
    socket.send(&Frame::Complete);
    assert_eq!(socket.next(), Event::Frame(Frame::RequestPage { page_no: 1 }));
    let page = ferry_testkit::frames::Page { page_no: 1, data: changed };
    socket.send(&Frame::PageDataBatch { pages: vec![page] });
    assert!(matches!(socket.next(), Event::Frame(Frame::SyncComplete { .. })));
    assert_eq!(socket.ending().code, 1000);
}
