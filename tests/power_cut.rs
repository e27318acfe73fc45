//! Power cuts: what was acknowledged is there afterwards, whatever the disk forgot or tore of what was not synced. The
//! crash tests of the models kill the process alone, which leaves the kernel's cache: with `synchronous=OFF` every one of
//! them passed.

use std::{fs, path::Path};

use ferry_testkit::{
    Direction, Hub, dump,
    livestore::{Page, chain, event},
    power_cut::Recorded,
    sample::Shape,
};
use rusqlite::Connection;
use serde_json::json;

use crate::{
    events::{Stores, a},
    records::{Records, ids, insert},
    support::{Place, options, refused},
};

/// Disks that are tried per recorded run.
const CUTS: u64 = 8;

/// The hub of each disk that may be left; one that does not come up fails the test.
fn each_cut(recorded: &Recorded, mut check: impl FnMut(u64, Hub)) {
    let disk = recorded.disk();
    for seed in 0..CUTS {
        let hub = recorded.after_cut(&disk, seed);
        let hub = hub.unwrap_or_else(|refused| panic!("cut {seed}: no start: {}", refused.output));
        // What tells the hub where its data comes from is whole, and does not tell of a restore.
        let log = hub.log();
        assert!(!log.contains("lineage` is missing") && !log.contains("put back"), "cut {seed}: {log}");
        check(seed, hub);
    }
}

/// The place of an earlier run, at a hub over what is left of its disk.
fn at(place: &Place, hub: Hub) -> Place {
    let user = place.user.at(hub.address());
    Place { hub, user, database: place.database.clone() }
}

fn events_of(stores: &Stores) -> Vec<i64> {
    let mut socket = stores.open("app");
    socket.pull(&a(9), false, None);
    socket.history(&a(9)).iter().flat_map(Page::numbers).collect()
}

/// Pushes a few events one by one, and is killed right after an answer; the recorded run, the place, the events.
fn pushed_events(options: ferry_testkit::hub::Options, count: i64) -> (Recorded, Stores, i64) {
    let recorded = Recorded::new(options);
    let mut stores = Stores::of(recorded.start());
    let mut socket = stores.open("app");
    for last in 0..count {
        assert_eq!(socket.push(&a(1), &[event(last + 1, last)]).code(), "success");
    }
    stores.place.hub.kill();
    (recorded, stores, count)
}

// Verifies: EVT-05
#[test]
fn acknowledged_events_outlive_a_power_cut() {
    let (recorded, stores, last) = pushed_events(options(), 25);
    each_cut(&recorded, |seed, hub| {
        let stores = Stores { place: at(&stores.place, hub), token: stores.token.clone() };
        assert_eq!(events_of(&stores), (1..=last).collect::<Vec<_>>(), "cut {seed}");
        assert_eq!(stores.open("app").push(&a(1), &chain(last, 3)).code(), "success", "cut {seed}");
    });
}

// With `synchronous=OFF` all tests of crashes and durability passed, since kill -9 leaves the kernel's cache alone.
// Verifies: EVT-05
#[test]
fn losses_of_a_hub_that_does_not_sync_are_detected() {
    let (recorded, stores, last) = pushed_events(options().fault("sync=off"), 25);
    let disk = recorded.disk();
    let lost = (0..CUTS).filter(|seed| {
        let Ok(hub) = recorded.after_cut(&disk, *seed) else { return true };
        let place = at(&stores.place, hub);
        if place.user.ferry("ListTokens", &json!({"database": place.database})).is_err() {
            return true;
        }
        let stores = Stores { place, token: stores.token.clone() };
        events_of(&stores).len() < usize::try_from(last).unwrap()
    });
    assert!(lost.count() > 0, "no cut of {CUTS} lost anything");
}

// Verifies: REC-18
#[test]
fn acknowledged_records_outlive_a_power_cut() {
    let recorded = Recorded::new(options());
    let mut records = Records::of(recorded.start());
    for n in 0..20 {
        records.push("c", "", &json!([insert("tasks", &format!("r{n:02}"), "x")]));
    }
    records.place.hub.kill();
    each_cut(&recorded, |seed, hub| {
        let records = Records { place: at(&records.place, hub), token: records.token.clone() };
        let mut stored = ids(&records.pull_all("d", "tasks", "").0);
        stored.sort_unstable();
        assert_eq!(stored, (0..20).map(|n| format!("r{n:02}")).collect::<Vec<_>>(), "cut {seed}");
        records.push("c", "", &json!([insert("tasks", "later", "x")]));
    });
}

fn in_place(file: &Path) {
    Connection::open(file).unwrap().execute_batch("UPDATE item SET price = price + 1 WHERE id = 5").unwrap();
}

fn most_pages(file: &Path) {
    Connection::open(file).unwrap().execute_batch("UPDATE item SET body = randomblob(250)").unwrap();
}

// Verifies: PAG-02, PAG-43, PAG-45
#[test]
fn an_acknowledged_push_of_pages_outlives_a_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    for (name, change) in [("in place", in_place as fn(&Path)), ("by swapping", most_pages)] {
        let _ = fs::remove_file(&file);
        Shape::default().create(&file, 300, 1);
        let recorded = Recorded::new(options());
        let mut place = Place::of(recorded.start());
        place.push(&file);
        for _ in 0..3 {
            change(&file);
            place.push(&file);
        }
        place.hub.kill();
        each_cut(&recorded, |seed, hub| {
            let place = at(&place, hub);
            let copy = folder.path().join("copy.db");
            let _ = fs::remove_file(&copy);
            fs::copy(&file, &copy).unwrap();
            most_pages(&copy);
            place.pull(&copy);
            assert!(dump::dump(&copy) == dump::dump(&file), "{name}, cut {seed}");
            most_pages(&copy);
            place.push(&copy);
        });
    }
}

// Verifies: PAG-02, PAG-43, PAG-45
#[test]
fn a_page_push_interrupted_by_a_power_cut_is_atomic() {
    let folder = tempfile::tempdir().unwrap();
    let (file, old) = (folder.path().join("app.db"), folder.path().join("old.db"));
    let points =
        crate::support::fault_points("push.").into_iter().chain(crate::support::fault_points("swap."));
    for point in points {
        let change = if point.starts_with("push.") { in_place } else { most_pages };
        let _ = fs::remove_file(&file);
        Shape::default().create(&file, 200, 1);
        let recorded = Recorded::new(options());
        let place = Place::of(recorded.start());
        place.push(&file);
        fs::copy(&file, &old).unwrap();
        change(&file);
        let token = place.push_token();
        let Place { mut hub, user, database } = place;
        hub.kill();
        let mut hub = recorded.start_with(|options| options.fault(format!("{point}=kill")));
        let pushed = ferry_testkit::edgereplica::push(hub.address(), &token, &file);
        hub.kill();
        let place = Place { hub, user, database };
        let (before, after) = (dump::dump(&old), dump::dump(&file));
        each_cut(&recorded, |seed, hub| {
            let place = at(&place, hub);
            let copy = folder.path().join("copy.db");
            let _ = fs::remove_file(&copy);
            fs::copy(&old, &copy).unwrap();
            most_pages(&copy);
            place.pull(&copy);
            let got = dump::dump(&copy);
            assert!(got == after || (pushed.is_err() && got == before), "{point}, cut {seed}");
        });
    }
}

// Verifies: ORG-08, TOK-12
#[test]
fn accounts_databases_and_revocations_outlive_a_power_cut() {
    let recorded = Recorded::new(options());
    let mut place = Place::of(recorded.start());
    let gone = place.user.create_database("gone");
    let revoked = place.user.sync_token(&place.database, Direction::Pull);
    place.user.ferry("RevokeDatabaseTokens", &json!({"database": place.database})).unwrap();
    place.user.edgereplica("DeleteDatabase", &json!({"databaseId": gone})).unwrap();
    place.hub.kill();
    each_cut(&recorded, |seed, hub| {
        let place = at(&place, hub);
        assert_eq!(place.user.database(&place.database)["name"], "app", "cut {seed}");
        refused(place.user.ferry("GetDatabase", &json!({"database": gone})), "not_found");
        let folder = tempfile::tempdir().unwrap();
        let pulled =
            ferry_testkit::edgereplica::pull(place.hub.address(), &revoked, &folder.path().join("copy.db"));
        assert!(pulled.is_err(), "cut {seed}: a revoked token works again");
        place.user.create_database("another");
    });
}

// The recorder must see all that a hub does to its files: else a cut is tried on a disk that never was.
#[test]
fn what_the_recorder_saw_is_what_lies_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 300, 1);
    let recorded = Recorded::new(options());
    let mut place = Place::of(recorded.start());
    place.push(&file);
    most_pages(&file);
    place.push(&file);
    let gone = place.user.create_database("gone");
    place.user.edgereplica("DeleteDatabase", &json!({"databaseId": gone})).unwrap();
    place.hub.stop();
    let copy = folder.path().join("copy");
    recorded.disk().write_whole(&copy);
    let content = |root: &Path| {
        let names = ferry_testkit::hub::listing(root).into_iter().map(|(name, _)| name);
        let files = names.filter(|name| !name.ends_with("-shm"));
        files.map(|name| (fs::read(root.join(&name)).unwrap(), name)).collect::<Vec<_>>()
    };
    let (seen, real) = (content(&copy), content(&recorded.data_dir()));
    let names = |files: &[(Vec<u8>, String)]| files.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&seen), names(&real));
    for ((seen, name), (real, _)) in seen.iter().zip(&real) {
        assert!(seen == real, "{name}: {} bytes were seen, {} lie there", seen.len(), real.len());
    }
}
