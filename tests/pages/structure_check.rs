//! The check of a pushed file's structure before it is accepted: b-trees, freelist and pointer maps, nothing else.

use std::{fs, path::Path};

use ferry_testkit::{
    Direction,
    command::Ferry,
    dump::image,
    edgereplica,
    frames::Frame,
    process::usage,
    sample::Shape,
    socket::{Event, Socket},
    wait,
};
use rusqlite::Connection;

use crate::support::{FERRY, Place, options};

/// Changes the text of the schema, which SQLite then believes.
fn redeclare(connection: &Connection, table: &str, sql: &str) {
    connection.execute_batch("PRAGMA writable_schema=ON").unwrap();
    let changed = "UPDATE sqlite_schema SET sql = ?2 WHERE name = ?1";
    assert_eq!(connection.execute(changed, [table, sql]).unwrap(), 1);
    connection.execute_batch("PRAGMA writable_schema=RESET").unwrap();
}

type Make = fn(&Connection);

/// Files that SQLite reads and writes as if nothing were wrong with them, though its checks complain: name, content.
const COMPLAINED_OF: [(&str, Make); 5] = [
    ("a NULL in a NOT NULL column", |connection| {
        connection.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, notes TEXT)").unwrap();
        connection.execute_batch("INSERT INTO t VALUES (1, 'kept'), (2, NULL)").unwrap();
        redeclare(connection, "t", "CREATE TABLE t(id INTEGER PRIMARY KEY, notes TEXT NOT NULL)");
    }),
    ("text in numeric columns", |connection| {
        connection.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, n TEXT, m)").unwrap();
        connection.execute_batch("INSERT INTO t VALUES (1, '12', 5), (2, '007', 6)").unwrap();
        redeclare(connection, "t", "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, m TEXT)");
    }),
    ("a full-text index that does not fit its text", |connection| {
        connection.execute_batch("CREATE VIRTUAL TABLE ft USING fts5(body, tokenize='trigram')").unwrap();
        connection.execute_batch("INSERT INTO ft VALUES ('a first text'), ('and a second')").unwrap();
        connection.execute_batch("UPDATE ft_content SET c0 = 'another text' WHERE id = 2").unwrap();
    }),
    ("pages that nothing refers to", |connection| {
        connection.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (randomblob(20000))").unwrap();
        connection
            .execute_batch("CREATE TABLE lost(a); INSERT INTO lost VALUES (randomblob(20000))")
            .unwrap();
        connection
            .execute_batch("PRAGMA writable_schema=ON; DELETE FROM sqlite_schema WHERE name = 'lost'")
            .unwrap();
        connection.execute_batch("PRAGMA writable_schema=RESET").unwrap();
    }),
    ("an R-Tree whose shadow tables drifted", |connection| {
        connection.execute_batch("CREATE VIRTUAL TABLE rt USING rtree(id, x0, x1, y0, y1)").unwrap();
        connection.execute_batch("INSERT INTO rt VALUES (1, 0, 1, 0, 1), (2, 3, 4, 3, 4)").unwrap();
        connection.execute_batch("DELETE FROM rt_rowid WHERE rowid = 2").unwrap();
    }),
];

/// A push of each of these was refused for ever with the words "database changed while it was pushed; run push again":
/// every line of `quick_check` counted as a torn page.
// Verifies: PAG-19
#[test]
fn a_file_that_fails_quick_check_is_accepted_if_its_structure_is_sound() {
    let place = Place::new();
    let ferry = Ferry::new(FERRY, &place.hub.url());
    for (number, (name, make)) in COMPLAINED_OF.into_iter().enumerate() {
        let (file, copy) = (ferry.file(&format!("{number}.db")), ferry.file(&format!("{number}-copy.db")));
        let connection = Connection::open(&file).unwrap();
        make(&connection);
        drop(connection);
        assert_ne!(complaint(&file), "ok", "{name}");
        let database = place.user.create_database(&format!("complained-{number}"));
        let token = |direction| place.user.sync_token(&database, direction);
        let push = token(Direction::Push);
        let pushed = edgereplica::push(place.hub.address(), &push, &file);
        pushed.unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        let pull = token(Direction::Pull);
        let copy_name = copy.display().to_string();
        ferry.clone().env("FERRY_SYNC_TOKEN", &pull).ok(&["sync", "pull", "--db", &copy_name]);
        assert!(image(&copy) == image(&file), "{name}: another image came back");
    }
}

/// The first line of SQLite's check.
fn complaint(file: &Path) -> String {
    let connection = Connection::open(file).unwrap();
    connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).unwrap()
}

/// Two pages change places.
fn damage(file: &Path) -> Vec<u8> {
    let sound = fs::read(file).unwrap();
    let mut damaged = sound.clone();
    let last = sound.len() - 4096;
    damaged[8192..12_288].copy_from_slice(&sound[last..]);
    damaged[last..].copy_from_slice(&sound[8192..12_288]);
    fs::write(file, damaged).unwrap();
    sound
}

/// A damaged file was always refused as one that had changed meanwhile, with the advice to push again.
// Verifies: PAG-07, PAG-19
#[test]
fn the_same_image_refused_twice_is_reported_as_damaged() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 400, 1);
    let sound = damage(&file);
    let first = place.try_push(&file).unwrap_err();
    assert_eq!(first.message(), "database changed while it was pushed; run push again");
    for _ in 0..2 {
        let again = place.try_push(&file).unwrap_err();
        let reply = again.message();
        assert!(reply.starts_with("DAMAGED: the file itself is damaged"), "{reply}");
        assert!(reply.contains("Tree ") && reply.contains(" page ") && reply.contains(".recover"), "{reply}");
    }
    fs::write(&file, sound).unwrap();
    place.push(&file);
}

/// 8 KB in which a generated column searches 20 MB for 10 MB that are not there: `quick_check` computed it, at full
/// speed for hours, and neither a timer nor SIGTERM could end it.
// Verifies: PAG-19
#[test]
fn expressions_of_the_schema_are_never_evaluated() {
    let mut place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("slow.db"), folder.path().join("copy.db"));
    let connection = Connection::open(&file).unwrap();
    connection.execute_batch("CREATE TABLE t(a); CREATE TABLE u(a); INSERT INTO t VALUES (1)").unwrap();
    let hours = "instr(zeroblob(20000000), CAST(zeroblob(10000000) || 'x' AS BLOB))";
    let slow = format!("CREATE TABLE t(a, b INT AS ({hours}) NOT NULL CHECK (b > {hours} + a))");
    redeclare(&connection, "t", &slow);
    let before = usage(place.hub.pid()).unwrap().cpu_ms;
    place.push(&file);
    // Once with a present file that has such a column already, and once in place.
    for sql in ["INSERT INTO u VALUES (zeroblob(90000))", "DELETE FROM u; INSERT INTO u VALUES (1)"] {
        connection.execute_batch(sql).unwrap();
        place.push(&file);
    }
    place.pull(&copy);
    assert!(image(&copy) == image(&file), "another image came back");
    let spent = usage(place.hub.pid()).unwrap().cpu_ms - before;
    assert!(spent < 10_000, "{spent} ms of CPU for a few kilobytes");
    assert!(place.hub.stop().success());
}

/// Sends a whole first push.
fn send(place: &Place, file: &Path) -> Socket {
    let pages = edgereplica::pages(file);
    let mut socket = Socket::open(place.hub.address(), &place.push_token()).unwrap();
    socket.send(&Frame::hello(u32::try_from(pages.len()).unwrap()));
    for (number, page) in (1..).zip(&pages) {
        socket.feed(&Frame::page_hash(number, page));
    }
    socket.send(&Frame::Complete);
    loop {
        match socket.next() {
            Event::Frame(Frame::HelloReply { .. }) => {}
            Event::Frame(Frame::RequestPage { page_no }) => {
                let data = pages[page_no as usize - 1].clone();
                socket.send(&Frame::PageData { page_no, data });
                // Page 1 comes last.
                if page_no == 1 {
                    return socket;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A check begins, `leave` ends what it is good for, and only then it goes on. Gives the place after a restart.
fn checked_for_nobody(leave: impl FnOnce(&Place, Socket), end: impl FnOnce(&mut Place)) {
    let folder = tempfile::tempdir().unwrap();
    let (file, waits) = (folder.path().join("app.db"), folder.path().join("checking"));
    Shape::default().create(&file, 400, 1);
    let mut place = Place::of(options().fault(format!("push.check=wait:{}", waits.display())).start());
    let socket = send(&place, &file);
    wait::until("the check to begin", || waits.exists().then_some(()));
    leave(&place, socket);
    wait::until("the hub to notice", || place.hub.log().contains("a push is given up").then_some(()));
    fs::remove_file(&waits).unwrap();
    end(&mut place);
    let place = place.restarted();
    assert_eq!(place.user.seq(&place.database), 0, "a push that was given up was committed");
    let report = place.push(&file);
    assert!(report.pages <= 1, "{} pages were sent again", report.pages);
}

// Verifies: PAG-19, PAG-03
#[test]
fn the_check_ends_when_its_client_has_gone() {
    let leave = |_: &Place, socket| drop::<Socket>(socket);
    checked_for_nobody(leave, |place| {
        wait::until("the session's end", || place.hub.log().contains("session ended").then_some(()));
    });
}

// Verifies: PAG-19, PAG-03
#[test]
fn the_check_ends_when_the_hub_stops() {
    let mut client = None;
    let leave = |place: &Place, socket| {
        place.hub.begin_stop();
        client = Some(socket);
    };
    checked_for_nobody(leave, |place| assert!(place.hub.ended().success()));
    assert_eq!(client.map(|mut socket: Socket| socket.ending().code), Some(1001));
}
