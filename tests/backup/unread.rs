//! Databases whose files cannot be read: all others are backed up, and everybody is told what is missing.

use std::{fs, path::Path};

use ferry_testkit::{Direction, dump, edgereplica, wait};
use rusqlite::Connection;
use serde_json::Value;

use super::{
    Backed,
    continuous::{assert_restores, caught_up, continuous, main_of, status},
};

/// Pushes a file with these rows to a database of its own name; its id.
fn push_other(backed: &Backed, other: Option<&str>, rows: u32) -> String {
    let place = &backed.records.place;
    let id = other.map_or_else(|| place.user.create_database("other"), str::to_owned);
    let file = tempfile::NamedTempFile::new().unwrap();
    let source = Connection::open(file.path()).unwrap();
    source.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t(n)").unwrap();
    for n in 0..rows {
        source.execute("INSERT INTO t VALUES (?1)", [n]).unwrap();
    }
    edgereplica::push(place.hub.address(), &place.user.sync_token(&id, Direction::Push), file.path())
        .unwrap();
    id
}

fn rows_of(file: &Path) -> u32 {
    Connection::open(file).unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

/// Stops the hub, and lets a database be a file that is none. What it was.
fn spoil(backed: &mut Backed, main: &Path) -> Vec<u8> {
    assert!(backed.records.place.hub.stop().success());
    let whole = fs::read(main).unwrap();
    assert!(
        !main.with_file_name("main.db-wal").metadata().is_ok_and(|wal| wal.len() > 0),
        "all is in the file"
    );
    fs::write(main, vec![0xa5; whole.len()]).unwrap();
    whole
}

// Verifies: OPR-01, OPR-07, OPR-09, OPR-10, OPR-22
#[test]
fn a_database_that_cannot_be_read_keeps_no_other_out_of_a_backup() {
    let mut backed = Backed::with(|options| options.arg("--backup-keep=last=1"));
    backed.write(0);
    let other = push_other(&backed, None, 1);
    let (complete, _) = backed.back_up();
    let main = main_of(&backed);
    let whole = spoil(&mut backed, &main);
    let then = tempfile::NamedTempFile::new().unwrap();
    fs::write(then.path(), &whole).unwrap();
    let was = dump::dump(then.path());
    backed = backed.restarted_with(|options| options);
    push_other(&backed, Some(&other), 2);

    let said = backed.operator().fails(11, &["backup", "create"]);
    let database = backed.records.place.database.clone();
    assert!(
        said.contains(&database) && said.contains("app") && said.contains("as the target had it"),
        "{said}"
    );
    assert!(!said.contains(&other), "{said}");
    let listed: Value = serde_json::from_str(&backed.operator().ok(&["backup", "list", "--json"])).unwrap();
    let states: Vec<&str> =
        listed["backups"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["partial", "complete"], "{listed}");
    let partial = listed["backups"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(status(&backed)["state"], "partial");
    assert_eq!(backed.operator().run(&["backup", "schedule"]).code, Some(12));
    backed.operator().ok(&["backup", "verify", &partial]);
    // What has all stays as long as nothing newer does.
    backed.operator().ok(&["backup", "prune"]);
    assert!(backed.operator().ok(&["backup", "list"]).contains(&complete));
    // A backup of it alone is refused, as before.
    let alone = backed.operator().run(&["backup", "create", &database]);
    assert_ne!(alone.code, Some(0), "{}", alone.stdout);

    // The whole hub restores, and says of which moment the one is.
    let (ferry, url) = (backed.operator(), backed.url());
    let to = ferry.file("restored");
    let restored =
        ferry.run(&["backup", "restore", &partial, "--target", &url, "--to", to.to_str().unwrap()]);
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    assert!(
        restored.stderr.contains("could not be read") && restored.stderr.contains(&database),
        "{}",
        restored.stderr
    );
    let file_of = |id: &str| to.join("databases").join(id).join("main.db");
    assert_eq!(rows_of(&file_of(&other)), 2);
    let is_row = |line: &&String| line.contains('(') && !line.contains("_ferry");
    let rows = |dump: &[String]| dump.iter().filter(is_row).cloned().collect::<Vec<_>>();
    let is = dump::dump(&file_of(&database));
    assert!(rows(&is) == rows(&was), "{is:?}");

    // Mended, it is in the next one, and the older ones go.
    assert!(backed.records.place.hub.stop().success());
    fs::write(&main, &whole).unwrap();
    backed = backed.restarted_with(|options| options);
    assert_eq!(status(&backed)["state"], "partial", "a hub that starts finds it");
    backed.write(1);
    let (mended, _) = backed.back_up();
    assert_eq!(status(&backed)["state"], "ok");
    backed.operator().ok(&["backup", "prune"]);
    let listed = backed.operator().ok(&["backup", "list"]);
    assert!(listed.contains(&mended) && !listed.contains(&partial), "{listed}");
}

// Verifies: OPR-01, OPR-05, OPR-21
#[test]
fn the_log_goes_on_beside_a_database_that_cannot_be_read() {
    let mut backed = continuous(|options| options);
    backed.write(1);
    let other = push_other(&backed, None, 1);
    caught_up(&backed);
    let main = main_of(&backed);
    let whole = spoil(&mut backed, &main);
    backed = backed.restarted_with(|options| options);
    wait::until("there is a partial one", || (status(&backed)["state"] == "partial").then_some(()));
    push_other(&backed, Some(&other), 3);
    let database_at = |id: &str| {
        let ferry = backed.operator();
        let out = ferry.file("one.db");
        let to = out.to_str().unwrap();
        let run = ferry.run(&["backup", "restore", "--target", &backed.url(), "--database", id, "--out", to]);
        (run.code == Some(0)).then(|| dump::dump(&out))
    };
    wait::until("what is pushed is shipped", || {
        database_at(&other).filter(|dump| dump.iter().any(|line| line.contains("t(2)"))).map(drop)
    });
    let was = database_at(&backed.records.place.database).expect("as it was");

    // What is written once it is mended restores, though the snapshot below has an older image.
    assert!(backed.records.place.hub.stop().success());
    fs::write(&main, &whole).unwrap();
    backed = backed.restarted_with(|options| options);
    caught_up(&backed);
    backed.write(2);
    caught_up(&backed);
    let is = dump::dump(&main);
    assert!(is != was);
    assert_restores(&backed, "latest", &is);
}
