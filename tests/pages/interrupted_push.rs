//! Interrupted pushes: the old version stays whole, the retry is asked only for the rest (pages, scenario 2).

use std::{fs, path::Path};

use ferry_testkit::{
    Direction,
    dump::assert_equal,
    frames::Frame,
    rng::Rng,
    sample::Shape,
    socket::{Event, Socket},
    wait,
};
use rusqlite::Connection;

use crate::support::Place;

fn pages(file: &Path) -> Vec<Vec<u8>> {
    fs::read(file).unwrap().chunks(4096).map(<[u8]>::to_vec).collect()
}

/// Pushes until `limit` pages were sent, then cuts the connection. Gives how many were sent; `None`: finished.
fn push_until(place: &Place, file: &Path, limit: usize) -> Option<usize> {
    let pages = pages(file);
    let max_page = u32::try_from(pages.len()).unwrap();
    let mut socket = Socket::open(place.hub.address(), &place.push_token()).unwrap();
    socket.send(&Frame::hello(max_page));
    for (number, page) in pages.iter().enumerate() {
        socket.feed(&Frame::page_hash(u32::try_from(number + 1).unwrap(), page));
    }
    socket.send(&Frame::Complete);
    let mut sent = 0;
    loop {
        match socket.next() {
            Event::Frame(Frame::HelloReply { .. }) => {}
            Event::Frame(Frame::RequestPage { page_no }) => {
                if sent == limit {
                    socket.cut();
                    return Some(sent);
                }
                socket.send(&Frame::PageData { page_no, data: pages[page_no as usize - 1].clone() });
                sent += 1;
            }
            Event::Frame(Frame::SyncComplete { .. }) => return None,
            other => panic!("{other:?}"),
        }
    }
}

// Verifies: PAG-02, PAG-03
#[test]
fn an_interrupted_push_changes_nothing_and_its_pages_stay_staged() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 3000, 1);
    place.push(&file);
    let old = folder.path().join("old.db");
    fs::copy(&file, &old).unwrap();
    let version = place.user.seq(&place.database);

    Connection::open(&file).unwrap().execute_batch("UPDATE item SET body = randomblob(200)").unwrap();
    let mut rng = Rng::new(5);
    let mut sent_in_all = 0;
    let mut cuts = 0;
    for attempt in 0..10 {
        let limit = rng.below(20) as usize;
        let Some(sent) = push_until(&place, &file, limit) else { panic!("finished at attempt {attempt}") };
        sent_in_all += sent;
        cuts += 1;
        let copy = folder.path().join(format!("copy-{attempt}.db"));
        place.pull(&copy);
        assert_equal(&old, &copy);
        assert_eq!(place.user.seq(&place.database), version);
    }
    assert!(cuts == 10 && sent_in_all > 30);
    // What was sent is not asked for again; page 1 always is.
    let total = fs::metadata(&file).unwrap().len() as usize / 4096;
    let rest = place.push(&file).pages as usize;
    assert!(rest <= total - sent_in_all + 1, "{rest} of {total} pages asked after {sent_in_all} were sent");
    let copy = folder.path().join("copy.db");
    place.pull(&copy);
    assert_equal(&file, &copy);
}

// Verifies: PAG-03
#[test]
fn staged_pages_survive_kill_9() {
    let mut place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape { page_size: 4096, ..Shape::default() }.create(&file, 12_000, 1);
    let total = fs::metadata(&file).unwrap().len() as usize / 4096;
    assert!(total > 500, "{total} pages");
    // Staging is durable every second or 4 MiB: send, and wait until that second has certainly passed by pulling
    // nothing but answers from the hub.
    let pages = pages(&file);
    let token = place.user.sync_token(&place.database, Direction::Push);
    let mut socket = Socket::open(place.hub.address(), &token).unwrap();
    socket.send(&Frame::hello(u32::try_from(pages.len()).unwrap()));
    for (number, page) in pages.iter().enumerate() {
        socket.feed(&Frame::page_hash(u32::try_from(number + 1).unwrap(), page));
    }
    socket.send(&Frame::Complete);
    let mut sent = 0;
    while sent < total / 2 {
        if let Event::Frame(Frame::RequestPage { page_no }) = socket.next() {
            socket.send(&Frame::PageData { page_no, data: pages[page_no as usize - 1].clone() });
            sent += 1;
        }
    }
    let staged = || -> u64 {
        ferry_testkit::hub::listing(&place.hub.database_dir(&place.database))
            .iter()
            .map(|(_, length)| length)
            .sum()
    };
    let expected = sent as u64 * 4096 * 9 / 10;
    wait::until("the staged pages on disk", || (staged() > expected).then_some(()));
    let begun = wait::unix_seconds();
    wait::until("the second after which they are durable", || {
        (wait::unix_seconds() > begun + 1).then_some(())
    });
    place.hub.kill();
    drop(socket);
    let place = place.restarted();
    let rest = place.push(&file).pages as usize;
    assert!(rest <= total - sent + 20, "{rest} of {total} asked, {sent} were staged");
    let copy = folder.path().join("copy.db");
    place.pull(&copy);
    assert_equal(&file, &copy);
}
