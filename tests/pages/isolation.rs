//! A failure in one database affects no other; idle databases are closed and reopened.

use std::fs;

use ferry_testkit::{Direction, dump::assert_equal, edgereplica, http, sample::Shape, wait};
use rusqlite::Connection;
use serde_json::json;

use crate::support::{Place, options};

#[test]
fn a_panic_in_one_database_harms_no_other() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.db", "b.db"].map(|name| folder.path().join(name));
    Shape::default().create(&a, 100, 1);
    Shape::default().create(&b, 100, 2);
    let other = place.user.create_database("other");
    place.push(&a);
    edgereplica::push(place.hub.address(), &place.user.sync_token(&other, Direction::Push), &b).unwrap();

    let place = place.restarted_with(|options| options.fault("push.main=panic"));
    let changed = folder.path().join("changed.db");
    fs::copy(&a, &changed).unwrap();
    Connection::open(&changed).unwrap().execute_batch("UPDATE item SET price = 7 WHERE id = 3").unwrap();
    for attempt in 0..3 {
        // A later attempt may find that recovery finished what the panic interrupted.
        match place.try_push(&changed) {
            Err(failure) => assert_eq!(failure.message(), "internal error"),
            Ok(report) => assert!(attempt > 0 && report.pages == 0, "{report:?}"),
        }
        let pull = |database: &str, name: &str| {
            let copy = folder.path().join(name);
            let _ = fs::remove_file(&copy);
            let token = place.user.sync_token(database, Direction::Pull);
            edgereplica::pull(place.hub.address(), &token, &copy).unwrap();
            copy
        };
        assert_equal(&b, &pull(&other, "copy-b.db"));
        let got = ferry_testkit::dump::dump(&pull(&place.database, "copy-a.db"));
        assert!(got == ferry_testkit::dump::dump(&a) || got == ferry_testkit::dump::dump(&changed));
        assert_eq!(http::get(place.hub.address(), "/readyz").unwrap().status, 200);
        place.user.ferry("Whoami", &json!({})).unwrap();
    }
    let place = place.restarted();
    place.push(&changed);
    let copy = folder.path().join("copy.db");
    place.pull(&copy);
    assert_equal(&changed, &copy);
}

/// Files of the database that the hub holds open.
fn open_files(place: &Place) -> usize {
    let folder = place.hub.database_dir(&place.database);
    let links = fs::read_dir(format!("/proc/{}/fd", place.hub.pid())).unwrap();
    links
        .filter_map(|link| fs::read_link(link.ok()?.path()).ok())
        .filter(|path| path.starts_with(&folder))
        .count()
}

#[test]
fn an_idle_database_is_closed_and_opened_again() {
    let place = Place::of(options().env("FERRY_IDLE_CLOSE_SECONDS", "1").start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 100, 1);
    for round in 0..3 {
        Connection::open(&file).unwrap().execute_batch("UPDATE item SET price = price + 1").unwrap();
        place.push(&file);
        assert_eq!(place.user.seq(&place.database), round + 1);
        wait::until("the idle database's closing", || (open_files(&place) == 0).then_some(()));
        let main = place.hub.database_dir(&place.database).join("main.db");
        assert!(main.exists());
        let copy = folder.path().join(format!("copy-{round}.db"));
        place.pull(&copy);
        assert_equal(&file, &copy);
    }
}
