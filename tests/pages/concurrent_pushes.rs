//! Concurrent pushes: one wins per version, the others get a conflict (pages, scenario 4).

use std::{fs, path::Path, thread};

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
            let message = failure.message();
            assert!(
                message.starts_with("another push was committed first (now version ")
                    && message.ends_with("); pull before you push again, or you replace it"),
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

/// A push that is greeted before others and announces its pages after them.
struct Late {
    pages: Vec<Vec<u8>>,
    socket: Socket,
}

impl Late {
    fn begin(place: &Place, file: &Path) -> Self {
        let pages: Vec<Vec<u8>> = fs::read(file).unwrap().chunks(4096).map(<[u8]>::to_vec).collect();
        let mut socket = Socket::open(place.hub.address(), &place.push_token()).unwrap();
        socket.send(&Frame::hello(u32::try_from(pages.len()).unwrap()));
        assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
        Self { pages, socket }
    }

    /// How it ends, and for how many pages it was asked.
    fn end(&mut self) -> (Event, u32) {
        for (number, page) in (1..).zip(&self.pages) {
            self.socket.feed(&Frame::page_hash(number, page));
        }
        self.socket.send(&Frame::Complete);
        let mut asked = 0;
        loop {
            match self.socket.next() {
                Event::Frame(Frame::RequestPage { page_no }) => {
                    asked += 1;
                    let data = self.pages[page_no as usize - 1].clone();
                    self.socket.send(&Frame::PageData { page_no, data });
                }
                ending => return (ending, asked),
            }
        }
    }
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
    let mut late = Late::begin(&place, &two);
    place.push(&one);
    let (ending, asked) = late.end();
    let Event::Frame(Frame::Error { message: ending }) = ending else { panic!("{ending:?}") };
    assert_eq!(
        ending,
        "another push was committed first (now version 2); pull before you push again, or you replace it"
    );
    assert_eq!(late.socket.ending().code, 1013);
    assert!(asked > 50);
    // The retry is asked for next to nothing, and wins.
    match edgereplica::push(place.hub.address(), &place.push_token(), &two) {
        Ok(report) => assert!(report.pages <= 2, "{report:?}"),
        Err(failure @ Failure::ErrorFrame(_)) => panic!("{failure:?}"),
        Err(other) => panic!("{other:?}"),
    }
    let copy = folder.path().join("copy.db");
    place.pull(&copy);
    dump::assert_equal(&two, &copy);
}

/// A push that only rewrote what SQLite counts on page 1 took nothing from anybody, and the one beside it lost all the same.
// Verifies: PAG-08
#[test]
fn a_push_concurrent_with_one_that_rewrote_only_counters_wins() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let [one, two, copy] = ["one.db", "two.db", "copy.db"].map(|name| folder.path().join(name));
    Shape::default().create(&one, 300, 1);
    place.push(&one);
    fs::copy(&one, &two).unwrap();
    // In place, and as a new file.
    for change in ["UPDATE item SET price = price + 1 WHERE id = 7", "UPDATE item SET name = name || 'x'"] {
        Connection::open(&two).unwrap().execute_batch(change).unwrap();
        let mut late = Late::begin(&place, &two);
        // Two commits that end where they began.
        let counted = "PRAGMA user_version=2; PRAGMA user_version=1";
        Connection::open(&one).unwrap().execute_batch(counted).unwrap();
        assert_eq!(place.push(&one).pages, 1, "nothing but page 1's counters has changed");
        let before = place.user.seq(&place.database);
        let (ending, _) = late.end();
        assert!(matches!(ending, Event::Frame(Frame::SyncComplete { .. })), "{ending:?}");
        assert_eq!(place.user.seq(&place.database), before + 1);
        drop(late);
        place.pull(&copy);
        dump::assert_equal(&two, &copy);
        fs::copy(&two, &one).unwrap();
    }
    let place = place.restarted();
    place.pull(&copy);
    dump::assert_equal(&two, &copy);
}
