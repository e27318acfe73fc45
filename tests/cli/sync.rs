//! push, pull, clone and sync by the command line.

use std::{fs, path::Path};

use ferry_testkit::{
    command::{Ferry, Output},
    dump::assert_equal,
    sample::{self, Shape},
};
use rusqlite::Connection;

use crate::support::{FERRY, Place, fault_points, hub};

pub(crate) fn ada(hub: &ferry_testkit::Hub) -> Ferry {
    let ferry = Ferry::new(FERRY, &hub.url());
    ferry.signup("ada@example.com");
    ferry.ok(&["db", "create", "app"]);
    ferry
}

/// The same person at a second machine.
pub(crate) fn second_machine(hub: &ferry_testkit::Hub) -> Ferry {
    let ferry = Ferry::new(FERRY, &hub.url());
    ferry.clone().env("FERRY_PASSWORD", ferry_testkit::rpc::PASSWORD).ok(&["login", "ada@example.com"]);
    ferry
}

pub(crate) fn run(file: &Path, sql: &str) {
    Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

// Verifies: PAG-63, PAG-67, PAG-71
#[test]
fn push_clone_change_pull() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    Shape { wal: true, ..Shape::default() }.create(&file, 2000, 1);
    let said = one.ok(&["push", "app.db", "app"]);
    assert!(said.trim_end().lines().last().is_some_and(|line| line.starts_with("pushed 1-")), "{said}");
    two.ok(&["clone", "app", "copy.db"]);
    let copy = two.file("copy.db");
    assert_equal(&file, &copy);

    // Nothing to do.
    one.ok(&["push", "app.db"]);
    two.ok(&["pull", "app", "copy.db"]);

    // The file knows its database now.
    run(&file, "UPDATE item SET price = price + 1 WHERE id % 10 = 0");
    let said = one.ok(&["push", "app.db"]);
    assert!(said.contains("pushed 2-"), "{said}");
    two.ok(&["pull", "app", "copy.db"]);
    assert_equal(&file, &copy);

    // And the other way round: the copy is pushed, the first machine pulls.
    run(&copy, "DELETE FROM item WHERE id % 2 = 0; VACUUM");
    two.ok(&["push", "copy.db"]);
    one.ok(&["pull", "app", "app.db"]);
    assert_equal(&copy, &file);
    // clone does not replace a file.
    let before = fs::read(&copy).unwrap();
    assert_ne!(two.run(&["clone", "app", "copy.db"]).code, Some(0));
    assert_eq!(fs::read(&copy).unwrap(), before);
}

// Verifies: PAG-63, PAG-65
#[test]
fn unsynced_changes_are_refused_and_kept_when_forced() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    Shape::default().create(&file, 200, 1);
    one.ok(&["push", "app.db", "app"]);
    two.ok(&["clone", "app", "copy.db"]);
    let copy = two.file("copy.db");

    run(&file, "UPDATE item SET name = 'pushed first'");
    one.ok(&["push", "app.db"]);
    run(&copy, "UPDATE item SET name = 'edited here'");
    let edited = ferry_testkit::dump::dump(&copy);

    // The hub moved on: neither direction loses anything unasked.
    let error = two.fails(6, &["push", "copy.db"]);
    assert!(error.contains("1-") && error.contains("2-"), "both tags are named: {error}");
    two.fails(6, &["pull", "app", "copy.db"]);
    assert!(ferry_testkit::dump::dump(&copy) == edited, "a refusal changes nothing");

    two.ok(&["pull", "app", "copy.db", "--force"]);
    assert_equal(&file, &copy);
    let backups: Vec<String> = ferry_testkit::command::names(&two.files())
        .into_iter()
        .filter(|name| name.ends_with(".bak"))
        .collect();
    assert_eq!(backups.len(), 1, "{backups:?}");
    assert!(ferry_testkit::dump::dump(&two.file(&backups[0])) == edited, "the backup holds the edits");

    // Forced the other way: the hub takes the local file.
    run(&copy, "UPDATE item SET name = 'mine'");
    run(&file, "UPDATE item SET name = 'theirs'");
    one.ok(&["push", "app.db"]);
    two.fails(6, &["push", "copy.db"]);
    two.ok(&["push", "copy.db", "--force"]);
    one.fails(6, &["push", "app.db"]);
    // A file without state and of unknown content is not overwritten either.
    let stranger = two.file("stranger.db");
    Shape::default().create(&stranger, 10, 9);
    let before = fs::read(&stranger).unwrap();
    two.fails(6, &["pull", "app", "stranger.db"]);
    assert_eq!(fs::read(&stranger).unwrap(), before);
}

// Verifies: PAG-70
#[test]
fn a_file_that_is_no_database_is_not_sent() {
    let hub = hub();
    let ferry = ada(&hub);
    fs::write(ferry.file("encrypted.db"), ferry_testkit::rng::Rng::new(1).bytes(40_960)).unwrap();
    fs::write(ferry.file("text.db"), "no database at all\n".repeat(500)).unwrap();
    for name in ["encrypted.db", "text.db"] {
        let error = ferry.fails(10, &["push", name, "app"]);
        assert!(error.contains("not a plain SQLite database (encrypted?)"), "{error}");
    }
    assert!(!hub.log().contains("/sync"), "nothing was sent:\n{}", hub.log());
}

// Verifies: PAG-66
#[test]
fn a_pull_changes_the_page_size_and_a_locked_file_is_exit_10() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    Shape { wal: true, ..Shape::default() }.create(&file, 300, 1);
    one.ok(&["push", "app.db", "app"]);
    two.ok(&["clone", "app", "copy.db"]);
    run(&file, "PRAGMA journal_mode=DELETE; PRAGMA page_size=16384; VACUUM; PRAGMA journal_mode=WAL");
    one.ok(&["push", "app.db"]);
    let copy = two.file("copy.db");
    let reader = Connection::open(&copy).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM item").unwrap();
    let before: i64 = reader.query_row("SELECT count(*) FROM item", [], |row| row.get(0)).unwrap();
    two.fails(10, &["pull", "app", "copy.db"]);
    assert_eq!(
        reader.query_row("SELECT count(*) FROM item", [], |row| row.get::<_, i64>(0)).unwrap(),
        before
    );
    drop(reader);
    two.ok(&["pull", "app", "copy.db"]);
    assert_equal(&file, &copy);
    let size: u32 =
        Connection::open(&copy).unwrap().query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    assert_eq!(size, 16384);
}

// Verifies: PAG-71
#[test]
fn progress_is_for_terminals_and_json_for_programs() {
    let hub = hub();
    let ferry = ada(&hub);
    Shape::default().create(&ferry.file("app.db"), 500, 1);
    let output: Output = ferry.run(&["--json", "push", "app.db", "app"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stderr, "", "no progress without a terminal");
    let pushed: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert!(pushed["tag"].as_str().is_some_and(|tag| tag.starts_with("1-")), "{pushed}");
    let output = ferry.run(&["--json", "clone", "app", "copy.db"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let _: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
}

// Verifies: PAG-72
#[test]
fn sync_push_and_pull_work_with_a_token_alone() {
    let place = Place::new();
    let ferry = Ferry::new(FERRY, &place.hub.url());
    let file = ferry.file("app.db");
    sample::standard(&file, 8000, 1);
    let (push, pull) = (place.push_token(), place.pull_token());
    let said = ferry.ok(&["sync", "push", "--db", "app.db", "--token", &push]);
    let pages = fs::metadata(&file).unwrap().len() / 4096;
    assert_eq!(said, format!("sync complete: {pages} pages, {} bytes\n", pages * 4096));
    let said = ferry.clone().env("EDGEREPLICA_SYNC_TOKEN", &pull).ok(&["sync", "pull", "--db", "copy.db"]);
    assert_eq!(
        said,
        format!("sync complete: {pages} pages, {} bytes (wrote {pages} locally)\n", pages * 4096)
    );
    assert_equal(&file, &ferry.file("copy.db"));
    // It truncates, which EdgeReplica's client cannot.
    run(&file, "DELETE FROM t WHERE id > 100; VACUUM");
    ferry.clone().env("FERRY_SYNC_TOKEN", &push).ok(&["sync", "push", "--db", "app.db"]);
    ferry.clone().env("FERRY_SYNC_TOKEN", &pull).ok(&["sync", "pull", "--db", "copy.db"]);
    assert_equal(&file, &ferry.file("copy.db"));
    run(&ferry.file("copy.db"), "PRAGMA wal_checkpoint(TRUNCATE)");
    run(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    assert_eq!(fs::metadata(ferry.file("copy.db")).unwrap().len(), fs::metadata(&file).unwrap().len());
    // Imitated and own client understand each other's work.
    let other = ferry.file("other.db");
    place.pull(&other);
    assert_equal(&file, &other);
}

// Verifies: PAG-64, PAG-67
#[test]
fn kill_9_during_a_pull_leaves_the_file_old_or_new() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    Shape { wal: true, ..Shape::default() }.create(&file, 1000, 1);
    one.ok(&["push", "app.db", "app"]);
    two.ok(&["clone", "app", "copy.db"]);
    let copy = two.file("copy.db");
    let points = fault_points("pull.");
    let mut died = 0;
    for point in &points {
        let before = ferry_testkit::dump::dump(&copy);
        run(&file, "UPDATE item SET price = price + 1");
        one.ok(&["push", "app.db"]);
        let output =
            two.clone().env("FERRY_FAULT", &format!("{point}=kill")).run(&["pull", "app", "copy.db"]);
        died += usize::from(output.code.is_none());
        let got = ferry_testkit::dump::dump(&copy);
        assert!(got == before || got == ferry_testkit::dump::dump(&file), "{point}: a mixture");
        // The next run converges, without being forced.
        two.ok(&["pull", "app", "copy.db"]);
        assert_equal(&file, &copy);
    }
    assert!(died >= 3, "only {died} of {points:?} are passed");
    // A first pull that is killed leaves no file, or the whole one.
    for point in &points {
        let name = format!("{point}.db");
        let _ = two.clone().env("FERRY_FAULT", &format!("{point}=kill")).run(&["clone", "app", &name]);
        if two.file(&name).exists() {
            assert_equal(&file, &two.file(&name));
        } else {
            two.ok(&["clone", "app", &name]);
            assert_equal(&file, &two.file(&name));
        }
    }
}

// A pull token pushed with "page_data where it does not belong", or with success where nothing differed.
// Verifies: PAG-72
#[test]
fn a_token_of_the_other_direction_is_refused_even_if_nothing_differs() {
    let hub = hub();
    let ferry = ada(&hub);
    Shape::default().create(&ferry.file("app.db"), 50, 1);
    ferry.ok(&["push", "app.db", "app"]);
    fs::copy(ferry.file("app.db"), ferry.file("other.db")).unwrap();
    run(&ferry.file("other.db"), "DELETE FROM item WHERE id % 2 = 0");
    let token = |direction: &str| ferry.ok(&["db", "token", "app", "--direction", direction]);
    let (push, pull) = (token("push"), token("pull"));
    let narrowed = ferry.clone().input(&push).ok(&["token", "attenuate", "--ttl", "600"]);
    for file in ["app.db", "other.db", "missing.db"] {
        for (verb, token, may) in
            [("push", &pull, "pull"), ("pull", &push, "push"), ("pull", &narrowed, "push")]
        {
            if (verb, file) == ("push", "missing.db") {
                continue;
            }
            let before = fs::read(ferry.file(file)).ok();
            let said =
                ferry.clone().env("FERRY_SYNC_TOKEN", token.trim()).fails(4, &["sync", verb, "--db", file]);
            assert!(said.contains(&format!("this token may only {may}")), "{said}");
            assert!(said.contains(&format!("--direction {verb}")), "{said}");
            assert_eq!(fs::read(ferry.file(file)).ok(), before, "{file}");
        }
    }
}
