//! Files of a page database on the hub's disk: locks, changes from outside, the index.

use std::{fs, os::unix::fs::MetadataExt as _};

use ferry_testkit::{
    dump,
    frames::Frame,
    sample::Shape,
    socket::{Event, Socket},
};
use rusqlite::Connection;

use crate::support::Place;

// Verifies: PAG-50
#[test]
fn the_hub_keeps_sqlites_locks_on_an_open_database() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 200, 1);
    place.push(&file);
    // One session keeps the file open; others come and go.
    let mut reader = Socket::open(place.hub.address(), &place.pull_token()).unwrap();
    reader.send(&Frame::hello(0));
    assert!(matches!(reader.next(), Event::Frame(Frame::HelloReply { .. })));
    Connection::open(&file).unwrap().execute_batch("UPDATE item SET price = 1 WHERE id = 1").unwrap();
    place.push(&file);
    place.pull(&folder.path().join("copy.db"));
    // Closing any descriptor of a file drops a process's POSIX locks on it: had the hub opened main.db past SQLite,
    // the lock of the open session would be gone.
    let main = place.hub.database_dir(&place.database).join("main.db");
    let inode = fs::metadata(main).unwrap().ino();
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let held = locks.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(4) == Some(&place.hub.pid().to_string().as_str())
            && fields.get(5).is_some_and(|id| id.ends_with(&format!(":{inode}")))
    });
    assert!(held, "process {} holds no lock on inode {inode}:\n{locks}", place.hub.pid());
    drop(reader);
}

// Verifies: PAG-47
#[test]
fn a_file_changed_while_the_hub_stood_still_is_served_as_it_is() {
    let mut place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 200, 1);
    place.push(&file);
    place.hub.stop();
    let main = place.hub.database_dir(&place.database).join("main.db");
    let sql = "UPDATE item SET name = 'changed by hand' WHERE id = 4";
    for path in [&main, &file] {
        Connection::open(path).unwrap().execute_batch(sql).unwrap();
    }
    let before = 1;
    let place = place.restarted();
    let copy = folder.path().join("copy.db");
    place.pull(&copy);
    dump::assert_equal(&file, &copy);
    assert!(place.user.seq(&place.database) > before, "another content is another version");
    place.push(&file);
}

// Verifies: PAG-47
#[test]
fn the_page_index_may_be_deleted_and_is_made_again() {
    let mut place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 200, 1);
    place.push(&file);
    let before = place.user.seq(&place.database);
    place.hub.stop();
    fs::remove_dir_all(place.hub.database_dir(&place.database).join("pages")).unwrap();
    let place = place.restarted();
    let copy = folder.path().join("copy.db");
    place.pull(&copy);
    dump::assert_equal(&file, &copy);
    Connection::open(&file).unwrap().execute_batch("UPDATE item SET price = 5").unwrap();
    place.push(&file);
    assert!(place.user.seq(&place.database) > before, "version numbers only grow");
}
