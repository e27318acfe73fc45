//! Schema changes of every kind travel: over EdgeReplica's wire into a live file, and with `ferry push` and `ferry
//! pull` (pages, scenario 7). The same by the thousand, without a hub, stands in `crates/sqlite`.

use std::path::Path;

use ferry_testkit::{
    command::Ferry,
    dump::{assert_equal, image},
    edgereplica,
    migrations::App,
};
use rusqlite::Connection;

use crate::support::{FERRY, Place};

fn run(file: &Path, sql: &str) {
    Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

const ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                    INSERT INTO t SELECT i, hex(randomblob(50)) FROM n;";

// The client writes pages as they come. While page 1 came first, its new schema cookie made SQLite read the schema from
// half-replaced pages, and the pull failed, and every later one.
// Verifies: PAG-17
#[test]
fn edgereplicas_client_pulls_across_every_migration() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    for seed in 1..=8 {
        let database = place.user.create_database(&format!("app-{seed}"));
        let token = |direction| place.user.sync_token(&database, direction);
        let (push, pull) = (token(ferry_testkit::Direction::Push), token(ferry_testkit::Direction::Pull));
        let (file, copy) =
            (folder.path().join(format!("{seed}.db")), folder.path().join(format!("{seed}-copy.db")));
        let mut app = App::of_4096(&file, seed);
        let mut done = vec!["CREATE".to_owned()];
        for step in 0..8 {
            let story = || format!("seed {seed}, step {step}: {done:?}");
            edgereplica::push(place.hub.address(), &push, &file)
                .unwrap_or_else(|error| panic!("{}: {error:?}", story()));
            edgereplica::pull(place.hub.address(), &pull, &copy)
                .unwrap_or_else(|error| panic!("{}: {error:?}", story()));
            assert!(image(&file) == image(&copy), "{}", story());
            done = app.migrate();
        }
    }
}

// Verifies: PAG-17
#[test]
fn edgereplicas_client_pulls_over_a_rebuilt_table() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("app.db"), folder.path().join("copy.db"));
    run(
        &file,
        &format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, a); {ROWS} CREATE TABLE u(x); CREATE INDEX i ON t(a)"
        ),
    );
    place.push(&file);
    place.pull(&copy);
    run(
        &file,
        "CREATE TABLE t2(id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t2 SELECT * FROM t; DROP TABLE t;
         ALTER TABLE t2 RENAME TO t",
    );
    place.push(&file);
    place.pull(&copy);
    assert_equal(&file, &copy);
    run(&file, "DROP TABLE u; DELETE FROM t WHERE id > 9; VACUUM");
    place.push(&file);
    place.pull(&copy);
    assert_equal(&file, &copy);
}

// A push after `DROP TABLE`, or a pull over a rebuilt table, ended in "internal error" and "SQLite finds the file
// damaged", also with --force, and for ever.
// Verifies: PAG-18, PAG-44
#[test]
fn ferry_pushes_and_pulls_across_every_migration() {
    let place = Place::new();
    let ferry = Ferry::new(FERRY, &place.hub.url());
    ferry.signup("migrations@example.com");
    for seed in 1..=6 {
        let (name, file, copy) = (format!("app-{seed}"), format!("{seed}.db"), format!("{seed}-copy.db"));
        ferry.ok(&["db", "create", &name]);
        let mut app = App::create(&ferry.file(&file), seed);
        ferry.ok(&["push", &file, &name]);
        ferry.ok(&["clone", &name, &copy]);
        for step in 0..6 {
            let done = app.migrate();
            for command in [["push", &file], ["pull", &copy]] {
                let output = ferry.run(&command);
                assert_eq!(
                    output.code,
                    Some(0),
                    "seed {seed}, step {step}: {done:?}: {command:?}: {}",
                    output.stderr
                );
            }
            assert!(
                image(&ferry.file(&file)) == image(&ferry.file(&copy)),
                "seed {seed}, step {step}: {done:?}"
            );
        }
    }
}

// Verifies: PAG-18
#[test]
fn two_files_without_anything_in_common_replace_each_other() {
    let place = Place::new();
    let ferry = Ferry::new(FERRY, &place.hub.url());
    run(&ferry.file("one.db"), "CREATE TABLE t(a)");
    run(&ferry.file("two.db"), "CREATE TABLE x(a); CREATE TABLE y(a)");
    place.push(&ferry.file("one.db"));
    let pull = place.pull_token();
    ferry.clone().env("FERRY_SYNC_TOKEN", &pull).ok(&["sync", "pull", "--db", "two.db"]);
    assert_equal(&ferry.file("one.db"), &ferry.file("two.db"));
}
