//! Databases: names, isolation, deletion, renaming, kinds, lists.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ferry_testkit::{
    Direction, Session,
    edgereplica::{self, Failure},
    frames::Frame,
    sample::Shape,
    socket::Socket,
    wait,
};
use serde_json::{Value, json};

use crate::support::{Place, control_db, hub, options, refused};

// Verifies: ORG-06
#[test]
fn a_name_is_short_plain_and_unique() {
    let hub = options().env("FERRY_MAX_DATABASES_PER_ORG", "4").start();
    let user = hub.signup("ada@example.com");
    let create = |name: &str| user.edgereplica("CreateDatabase", &json!({"name": name}));
    let long = "x".repeat(65);
    for bad in ["", "a b", "a/b", "ä", "a.b", "a\n", &long, "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153"] {
        refused(create(bad), "invalid_argument");
    }
    create(&long[1..]).unwrap();
    create("A-b_9").unwrap();
    refused(create("A-b_9"), "already_exists");
    // Another organisation has names of its own.
    let other = hub.signup("bob@example.com");
    other.edgereplica("CreateDatabase", &json!({"name": "A-b_9"})).unwrap();

    // Racing creates of one name: one wins.
    let outcomes: Vec<_> = thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|_| scope.spawn(|| create("race"))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        refused(outcome, "already_exists");
    }
    create("fourth").unwrap();
    let refusal = refused(create("fifth"), "resource_exhausted");
    assert_eq!(refusal.reason, "DATABASE_LIMIT");
    let names = list(&user);
    assert_eq!(names, [&long[1..], "A-b_9", "race", "fourth"], "oldest first");
    // One that is deleted makes room for another, and for one only.
    user.ferry("DeleteDatabase", &json!({"databaseId": "race"})).unwrap();
    create("fifth").unwrap();
    refused(create("sixth"), "resource_exhausted");
}

/// The names of EdgeReplica's list.
fn list(user: &ferry_testkit::Session) -> Vec<String> {
    let answer = user.edgereplica("ListDatabases", &json!({})).unwrap();
    let databases = answer["databases"].as_array().cloned().unwrap_or_default();
    databases.iter().map(|database| database["name"].as_str().unwrap().to_owned()).collect()
}

// Verifies: ORG-07
#[test]
fn a_foreign_database_answers_like_an_unknown_one() {
    let place = Place::new();
    let stranger = place.hub.signup("eve@example.com");
    let unknown = "db_00000000-0000-7000-8000-000000000000";
    type Call = (&'static str, fn(&str) -> Value);
    let calls: [Call; 4] = [
        ("IssueSyncToken", |id| json!({"databaseId": id, "direction": "DIRECTION_PULL"})),
        ("DeleteDatabase", |id| json!({"databaseId": id})),
        ("GetDatabase", |id| json!({"database": id})),
        ("RenameDatabase", |id| json!({"database": id, "name": "mine"})),
    ];
    for (method, request) in calls {
        let foreign = refused(stranger.ferry(method, &request(&place.database)), "not_found");
        let missing = refused(stranger.ferry(method, &request(unknown)), "not_found");
        assert_eq!(foreign.message, "database not found", "{method}");
        assert_eq!(
            (foreign.status, foreign.message, foreign.reason),
            (missing.status, missing.message, missing.reason)
        );
    }
    assert_eq!(list(&stranger), Vec::<String>::new());
    assert_eq!(list(&place.user), ["app"]);
}

// Every path with `{db}` = `-` would have meant another database.
// Verifies: ORG-06
#[test]
fn no_database_may_be_named_dash() {
    let place = Place::new();
    let refusal =
        refused(place.user.edgereplica("CreateDatabase", &json!({"name": "-"})), "invalid_argument");
    assert!(refusal.message.contains("name must not be -"), "{}", refusal.message);
}

// Verifies: ORG-08
#[test]
fn deletion_frees_the_name_ends_connections_and_moves_the_file_to_the_trash() {
    let place = Place::new();
    let file = place.hub.data_dir().with_file_name("app.db");
    Shape::default().create(&file, 20, 1);
    place.push(&file);
    let (push, pull) = (place.push_token(), place.pull_token());
    let mut socket = Socket::open(place.hub.address(), &pull).unwrap();
    socket.send(&Frame::hello(0));
    socket.next();
    assert!(place.hub.database_dir(&place.database).exists());

    place.user.edgereplica("DeleteDatabase", &json!({"databaseId": place.database})).unwrap();
    let (took, ending) = wait::timed(|| socket.ending());
    assert_eq!(ending.code, 1008, "{ending:?}");
    assert!(took < wait::PROMPT, "closed after {took:?}");
    for token in [&push, &pull] {
        let refusal = Socket::open(place.hub.address(), token).unwrap_err();
        assert_eq!((refusal.status, refusal.text().trim()), (404, "database not found"));
    }
    refused(place.user.ferry("GetDatabase", &json!({"database": place.database})), "not_found");
    wait::until("the move to the trash", || {
        let moved = !place.hub.database_dir(&place.database).exists();
        (moved && trashed(&place)).then_some(())
    });
    // The name is free, and the new database begins empty.
    let again = place.user.create_database("app");
    assert_ne!(again, place.database);
    let copy = file.with_file_name("copy.db");
    let token = place.user.sync_token(&again, Direction::Pull);
    let report = edgereplica::pull(place.hub.address(), &token, &copy).unwrap();
    assert_eq!(report.pages, 0);
}

/// Whether the trash holds the folder of the place's database.
fn trashed(place: &Place) -> bool {
    let trash = place.hub.data_dir().join("trash");
    ferry_testkit::command::names(&trash).iter().any(|name| name.starts_with(&place.database))
}

// The files of deleted databases stayed for ever.
// Verifies: ORG-08
#[test]
fn the_trash_is_emptied_after_its_days() {
    let place = Place::new();
    let file = place.hub.data_dir().with_file_name("app.db");
    Shape::default().create(&file, 20, 1);
    place.push(&file);
    place.user.edgereplica("DeleteDatabase", &json!({"databaseId": place.database})).unwrap();
    wait::until("the move to the trash", || trashed(&place).then_some(()));
    let day_ms = 24 * 3600 * 1000;
    let others = place.hub.data_dir().join("trash/notes-1");
    std::fs::create_dir(&others).unwrap();
    let place = place.restarted_with(|options| options.fault(format!("clock={}", 6 * day_ms)));
    assert!(trashed(&place));
    let place = place.restarted_with(|options| options.fault(format!("clock={}", 8 * day_ms)));
    wait::until("the trash to be emptied", || (!trashed(&place)).then_some(()));
    assert!(others.exists(), "what somebody else put there stays");
}

// Verifies: ORG-08
#[test]
fn start_up_finishes_an_interrupted_deletion() {
    let mut place = Place::new();
    let file = place.hub.data_dir().with_file_name("app.db");
    Shape::default().create(&file, 20, 1);
    place.push(&file);
    place.hub.kill();
    // The tombstone is on disk and the hub died before it moved the folder.
    let changed = control_db(&place.hub)
        .execute("UPDATE databases SET deleted = created WHERE id = ?1", [&place.database])
        .unwrap();
    assert_eq!(changed, 1);
    let place = place.restarted();
    wait::until("the move to the trash", || {
        (!place.hub.database_dir(&place.database).exists()).then_some(())
    });
    assert!(trashed(&place));
}

// Verifies: ORG-09
#[test]
fn renaming_keeps_the_id_and_its_tokens() {
    let place = Place::new();
    let token = place.pull_token();
    let request = json!({"database": "app", "name": "renamed"});
    let renamed = place.user.ferry("RenameDatabase", &request).unwrap();
    assert_eq!(renamed["id"], place.database.as_str());
    assert_eq!(renamed["name"], "renamed");
    assert_eq!(list(&place.user), ["renamed"]);
    assert!(Socket::open(place.hub.address(), &token).is_ok());
    place.user.create_database("app");
    let taken = json!({"database": place.database, "name": "app"});
    refused(place.user.ferry("RenameDatabase", &taken), "already_exists");
}

// Verifies: ORG-09, PAG-32
#[test]
fn the_first_push_makes_a_replica_and_a_hub_database_takes_no_push() {
    let place = Place::new();
    let file = place.hub.data_dir().with_file_name("app.db");
    Shape::default().create(&file, 20, 1);
    let kind = |database: &str| place.user.database(database)["kind"].as_str().unwrap_or("").to_owned();
    assert_eq!(kind(&place.database), "");

    // A push that is refused fixes nothing.
    let broken = file.with_file_name("broken.db");
    std::fs::copy(&file, &broken).unwrap();
    let mut socket = Socket::open(place.hub.address(), &place.push_token()).unwrap();
    socket.send(&Frame::hello(1));
    socket.send(&Frame::page_hash(1, &[1; 4096]));
    socket.send(&Frame::Complete);
    assert_eq!(
        socket.next(),
        ferry_testkit::socket::Event::Frame(Frame::HelloReply {
            protocol_version: 1,
            page_size: 4096,
            max_page: 0
        })
    );
    socket.send(&Frame::PageData { page_no: 1, data: vec![1; 4096] });
    assert_eq!(socket.ending().code, 1011);
    assert_eq!(kind(&place.database), "");

    place.push(&file);
    assert_eq!(kind(&place.database), "replica");

    let create = json!({"name": "written-by-the-hub", "kind": "hub"});
    let made = place.user.ferry("CreateDatabase", &create).unwrap();
    assert_eq!(made["kind"], "hub");
    let id = made["id"].as_str().unwrap();
    let token = place.user.sync_token(id, Direction::Push);
    match edgereplica::push(place.hub.address(), &token, &file) {
        Err(Failure::ErrorFrame(message)) => assert!(message.contains("hub"), "{message}"),
        other => panic!("{other:?}"),
    }
    let mut socket = Socket::open(place.hub.address(), &token).unwrap();
    socket.send(&Frame::hello(1));
    socket.send(&Frame::page_hash(1, &[1; 4096]));
    socket.send(&Frame::Complete);
    assert_eq!(socket.ending().code, 1008);
    refused(place.user.ferry("CreateDatabase", &json!({"name": "x", "kind": "mirror"})), "invalid_argument");
}

/// Makes `count` databases that stay, and beside every tenth one that shall go.
fn populate(user: &Session, count: usize) -> Vec<(String, Option<String>)> {
    const WRITERS: usize = 8;
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let places = (writer..count).step_by(WRITERS);
                    let make = |place: usize| {
                        let stays = user.create_database(&format!("stays-{place:04}"));
                        let goes = place
                            .is_multiple_of(10)
                            .then(|| user.create_database(&format!("goes-{place:04}")));
                        (stays, goes)
                    };
                    places.map(make).collect::<Vec<_>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    })
}

// Verifies: ORG-13
#[test]
fn pages_of_a_list_neither_repeat_nor_hide_what_stays() {
    const STAYING: usize = 2500;
    let hub = hub();
    let user = hub.signup("ada@example.com");
    let made = populate(&user, STAYING);
    let mut staying: BTreeMap<String, usize> = made.iter().map(|(stays, _)| (stays.clone(), 0)).collect();
    assert_eq!(staying.len(), STAYING);
    let going: Vec<String> = made.into_iter().filter_map(|(_, goes)| goes).collect();
    let page = |token: &str, prefix: &str| {
        let request = json!({"pageSize": 100, "pageToken": token, "namePrefix": prefix});
        user.ferry("ListDatabases", &request)
    };
    // The list changes while it is read, until it has been read.
    let read = AtomicBool::new(false);
    let (pages, changes) = thread::scope(|scope| {
        let changer = scope.spawn(|| {
            let mut changes = 0;
            for id in &going {
                if read.load(Ordering::Relaxed) {
                    break;
                }
                user.create_database(&format!("comes-{changes}"));
                user.edgereplica("DeleteDatabase", &json!({"databaseId": id})).unwrap();
                changes += 1;
            }
            changes
        });
        let (mut token, mut pages) = (String::new(), 0);
        loop {
            let answer = page(&token, "").unwrap();
            let rows = answer["databases"].as_array().cloned().unwrap_or_default();
            assert!(rows.len() <= 100);
            for row in rows {
                if let Some(seen) = staying.get_mut(row["id"].as_str().unwrap()) {
                    *seen += 1;
                }
            }
            pages += 1;
            token = answer["nextPageToken"].as_str().unwrap_or("").to_owned();
            if token.is_empty() {
                break;
            }
        }
        read.store(true, Ordering::Relaxed);
        (pages, changer.join().unwrap())
    });
    assert!(pages >= 25 && changes > 0, "{pages} pages, {changes} changes");
    let wrong: Vec<_> = staying.iter().filter(|(_, seen)| **seen != 1).collect();
    assert!(wrong.is_empty(), "{wrong:?}");

    let first = page("", "").unwrap();
    let token = first["nextPageToken"].as_str().unwrap();
    refused(page(token, "stays"), "invalid_argument");
    refused(page("rubbish", ""), "invalid_argument");
    refused(user.ferry("ListDatabases", &json!({"pageSize": -1})), "invalid_argument");
    refused(user.ferry("ListDatabases", &json!({"pageSize": 1001})), "invalid_argument");
}
