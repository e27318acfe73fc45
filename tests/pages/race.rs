//! Pushes at the same time: one wins per version, the others are told (pages, scenario 4).

use std::{fs, thread};

use ferry_testkit::{
    bank, dump,
    edgereplica::{self, Failure},
    frames::Frame,
    sample::Shape,
    socket::{Event, Socket},
};
use rusqlite::Connection;

use crate::support::Place;

// Verifies: PAG-08
#[test]
fn of_racing_pushes_one_wins_and_the_others_are_told() {
    const PUSHERS: usize = 8;
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 500, 1);
    place.push(&file);
    let files: Vec<_> = (0..PUSHERS)
        .map(|pusher| {
            let own = folder.path().join(format!("pusher-{pusher}.db"));
            fs::copy(&file, &own).unwrap();
            let sql = format!("UPDATE item SET name = 'of pusher {pusher}'; CREATE TABLE pusher_{pusher}(x)");
            Connection::open(&own).unwrap().execute_batch(&sql).unwrap();
            own
        })
        .collect();
    let token = place.push_token();
    let mut losers = 0;
    for round in 0..3 {
        let before = place.user.seq(&place.database);
        // Every file changes, so that each push is a new version.
        for (pusher, own) in files.iter().enumerate() {
            let sql = format!("UPDATE item SET price = {round} + {pusher}.5");
            Connection::open(own).unwrap().execute_batch(&sql).unwrap();
        }
        let outcomes: Vec<_> = thread::scope(|scope| {
            let pushes: Vec<_> = files
                .iter()
                .map(|own| scope.spawn(|| edgereplica::push(place.hub.address(), &token, own)))
                .collect();
            pushes.into_iter().map(|push| push.join().unwrap()).collect()
        });
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
        assert!(won >= 1);
        let after = place.user.seq(&place.database);
        assert_eq!(after - before, won, "one version per winner");
        for failure in outcomes.into_iter().filter_map(Result::err) {
            let message = failure.told();
            assert!(
                message.starts_with("another push was committed first (now version ")
                    && message.ends_with("); run push again"),
                "{message}"
            );
            losers += 1;
        }
        // What is there is the file of one pusher, whole.
        let copy = folder.path().join(format!("copy-{round}.db"));
        place.pull(&copy);
        let got = dump::dump(&copy);
        assert!(files.iter().any(|own| dump::dump(own) == got), "round {round}: a mixture of two files");
    }
    assert!(losers > 0, "24 racing pushes and no conflict: the race did not happen");
}

// Verifies: PAG-08
#[test]
fn a_push_that_began_earlier_and_ends_later_loses_and_keeps_its_pages() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.db", "two.db"].map(|name| folder.path().join(name));
    bank::create(&one, false);
    place.push(&one);
    fs::copy(&one, &two).unwrap();
    let change = |file: &std::path::Path, padding: &str| {
        let sql = format!("UPDATE account SET padding = '{padding}' || substr(padding, 2)");
        Connection::open(file).unwrap().execute_batch(&sql).unwrap();
    };
    change(&one, "1");
    change(&two, "2");
    let pages: Vec<Vec<u8>> = fs::read(&two).unwrap().chunks(4096).map(<[u8]>::to_vec).collect();
    let mut late = Socket::open(place.hub.address(), &place.push_token()).unwrap();
    late.send(&Frame::hello(u32::try_from(pages.len()).unwrap()));
    assert!(matches!(late.next(), Event::Frame(Frame::HelloReply { .. })));

    place.push(&one);
    for (place, page) in pages.iter().enumerate() {
        late.feed(&Frame::page_hash(u32::try_from(place + 1).unwrap(), page));
    }
    late.send(&Frame::Complete);
    let mut asked = 0;
    let ending = loop {
        match late.next() {
            Event::Frame(Frame::RequestPage { page_no }) => {
                asked += 1;
                late.send(&Frame::PageData { page_no, data: pages[page_no as usize - 1].clone() });
            }
            Event::Frame(Frame::Error { message }) => break message,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ending, "another push was committed first (now version 2); run push again");
    assert_eq!(late.ending().code, 1013);
    assert!(asked > 50);
    // The retry is asked for next to nothing, and wins.
    match edgereplica::push(place.hub.address(), &place.push_token(), &two) {
        Ok(report) => assert!(report.pages <= 2, "{report:?}"),
        Err(failure @ Failure::Told(_)) => panic!("{failure:?}"),
        Err(other) => panic!("{other:?}"),
    }
    let copy = folder.path().join("copy.db");
    place.pull(&copy);
    dump::assert_equal(&two, &copy);
}
