//! Unusual local files: leftovers, special names, modes, paths that cannot be written.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use ferry_testkit::{dump::assert_equal, sample::Shape};
use rusqlite::Connection;

use super::sync::{ada, run, second_machine};
use crate::support::hub;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn rows(file: &Path) -> u32 {
    Connection::open(file).unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

/// A WAL and a hot journal, as programs leave them that were killed before somebody removed their database.
fn leave_sidecars(folder: &Path, wal: &Path, journal: &Path) {
    let old = Connection::open(folder.join("old.db")).unwrap();
    old.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE old(a)").unwrap();
    fs::copy(folder.join("old.db-wal"), wal).unwrap();
    let old = Connection::open(folder.join("oldj.db")).unwrap();
    old.execute_batch(
        "CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
         INSERT INTO t SELECT hex(randomblob(25)) FROM n; PRAGMA cache_size=3; BEGIN; UPDATE t SET a = 'U' || a",
    )
    .unwrap();
    fs::copy(folder.join("oldj.db-journal"), journal).unwrap();
}

/// A database was deleted and its -wal or -journal left behind. A clone to that name reported success, and SQLite then
/// played the leftover into the new file: no such table, or pages of both.
// Verifies: PAG-67
#[test]
fn a_new_file_never_meets_the_wal_or_journal_of_an_older_one() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let sql =
        "CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
               INSERT INTO t SELECT 'row ' || i FROM n";
    run(&one.file("src.db"), sql);
    one.ok(&["push", "src.db", "app"]);
    leave_sidecars(&one.files(), &two.file("t1.db-wal"), &two.file("t2.db-journal"));
    fs::copy(two.file("t1.db-wal"), two.file("t3.db-wal")).unwrap();
    let token = one.ok(&["db", "token", "app", "--direction", "pull"]);
    for (arguments, file, leftover) in [
        (&["clone", "app", "t1.db"][..], "t1.db", "t1.db-wal"),
        (&["pull", "app", "t2.db"], "t2.db", "t2.db-journal"),
        (&["sync", "pull", "--db", "t3.db"], "t3.db", "t3.db-wal"),
    ] {
        let output = two.clone().env("FERRY_SYNC_TOKEN", token.trim()).run(arguments);
        assert_eq!(output.code, Some(0), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(leftover), "it is told what was set aside: {}", output.stderr);
        assert_eq!(rows(&two.file(file)), 500, "{arguments:?}");
        assert_equal(&one.file("src.db"), &two.file(file));
        assert!(two.file(&format!("{leftover}.old")).exists(), "what may be somebody's is kept");
    }
}

/// `ferry push file:x.db` read the name as a URI and sent `x.db`.
// Verifies: PAG-60
#[test]
fn a_file_name_is_a_file_name_whatever_it_looks_like() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    run(&one.file("x.db"), "CREATE TABLE wrong(a)");
    for (place, name) in
        ["file:x.db", "file:x.db?mode=memory", ":memory:", "x.db?immutable=1"].iter().enumerate()
    {
        let (mine, database) = (format!("n{place}.db"), format!("names{place}"));
        Shape::default().create(&one.file(&mine), 10, 1);
        fs::rename(one.file(&mine), one.file(name)).unwrap();
        one.ok(&["db", "create", &database]);
        one.ok(&["push", name, &database]);
        two.ok(&["clone", &database, name]);
        assert_equal(&one.file(name), &two.file(name));
        two.ok(&["clone", &database, &mine]);
        assert_equal(&one.file(name), &two.file(&mine));
        // A change of the copy, by the same odd name, is seen.
        run(&two.file(name), "DELETE FROM item WHERE id = 1");
        assert!(two.ok(&["push", name]).starts_with("pushed 2-"), "{name}");
    }
}

/// What lies beside a private file was readable by all: its backup, what a pull was receiving, the digests of its pages.
// Verifies: PAG-61, PAG-65
#[test]
fn what_is_made_beside_a_private_file_is_private() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    Shape::default().create(&one.file("app.db"), 50, 1);
    one.ok(&["push", "app.db", "app"]);
    two.ok(&["clone", "app", "copy.db"]);
    let copy = two.file("copy.db");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(two.file("copy.db-ferry"), fs::Permissions::from_mode(0o644)).unwrap();
    run(&copy, "UPDATE item SET price = 7");
    run(&one.file("app.db"), "UPDATE item SET price = 8");
    one.ok(&["push", "app.db"]);
    // Killed with everything received: the part is still there.
    let killed = two.clone().env("FERRY_FAULT", "pull.received=kill");
    assert_eq!(killed.run(&["pull", "app", "copy.db", "--force"]).code, None);
    let names = ferry_testkit::command::names(&two.files());
    let backup = names.iter().find(|name| name.ends_with(".bak")).expect("a backup");
    for name in ["copy.db-ferry", "copy.db-ferry-part", backup] {
        assert_eq!(mode(&two.file(name)), 0o600, "{name}");
    }
    two.ok(&["pull", "app", "copy.db", "--force"]);
    assert_eq!(mode(&copy), 0o600);
}

/// The part was opened by its name: a symbolic link there was followed and its target overwritten with the database, and
/// an unrelated database that happened to have the state's name got ferry's tables.
// Verifies: PAG-61, PAG-67
#[test]
fn foreign_files_at_the_path_of_the_part_are_neither_followed_nor_overwritten() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    Shape::default().create(&one.file("app.db"), 50, 1);
    one.ok(&["push", "app.db", "app"]);
    let token = one.ok(&["db", "token", "app", "--direction", "pull"]);
    let two = two.env("FERRY_SYNC_TOKEN", token.trim());
    two.ok(&["clone", "app", "old.db"]);
    run(&one.file("app.db"), "UPDATE item SET price = 8");
    one.ok(&["push", "app.db"]);

    fs::write(two.file("precious.txt"), "precious").unwrap();
    for (arguments, name) in [
        (&["clone", "app", "new.db"][..], "new.db-ferry-part"),
        (&["pull", "app", "new.db"], "new.db-ferry-part"),
        (&["pull", "old.db"], "old.db-ferry-part"),
        (&["sync", "pull", "--db", "new.db"], "new.db-ferry-part"),
    ] {
        let part = two.file(name);
        for make in [
            (|part| std::os::unix::fs::symlink("precious.txt", part)) as fn(&Path) -> std::io::Result<()>,
            |part| fs::write(part, "precious"),
            |part| fs::create_dir(part),
        ] {
            make(&part).unwrap();
            let failure = two.fails(10, arguments);
            assert!(failure.contains(name) && failure.contains("Move it away"), "{arguments:?}: {failure}");
            assert_eq!(fs::read_to_string(two.file("precious.txt")).unwrap(), "precious", "{arguments:?}");
            assert!(!two.file("new.db").exists(), "{arguments:?}");
            if part.is_dir() {
                fs::remove_dir(&part).unwrap();
            } else {
                assert_eq!(fs::read_to_string(&part).unwrap(), "precious", "{arguments:?}");
                fs::remove_file(&part).unwrap();
            }
        }
    }
    // What a killed run left is not in the way.
    assert_eq!(
        two.clone().env("FERRY_FAULT", "pull.received=kill").run(&["clone", "app", "new.db"]).code,
        None
    );
    assert!(two.file("new.db-ferry-part").exists());
    two.ok(&["clone", "app", "new.db"]);
    two.ok(&["pull", "old.db"]);

    run(&two.file("other.db-ferry"), "CREATE TABLE mine(a); INSERT INTO mine VALUES (1)");
    let before = fs::read(two.file("other.db-ferry")).unwrap();
    let failure = two.fails(10, &["clone", "app", "other.db"]);
    assert!(
        failure.contains("other.db-ferry is in the way") && failure.contains("Move it away"),
        "{failure}"
    );
    assert_eq!(fs::read(two.file("other.db-ferry")).unwrap(), before);
    assert!(!two.file("other.db").exists(), "it is said before anything is received");
}

// Verifies: CFG-02
#[test]
fn every_file_of_the_data_directory_is_private() {
    let hub = hub();
    let one = ada(&hub);
    Shape::default().create(&one.file("app.db"), 50, 1);
    one.ok(&["push", "app.db", "app"]);
    one.ok(&["db", "create", "log"]);
    one.ok(&["events", "create", "log", "store"]);
    run(&one.file("app.db"), "UPDATE item SET price = 8");
    one.ok(&["push", "app.db"]);
    let listed = ferry_testkit::hub::listing(&hub.data_dir());
    assert!(listed.iter().any(|(name, _)| name.ends_with("main.db")), "{listed:?}");
    for (name, _) in listed {
        assert_eq!(mode(&hub.data_dir().join(&name)), 0o600, "{name}");
    }
}

// Verifies: PAG-67
#[test]
fn an_unwritable_target_is_refused_before_anything_is_sent() {
    let hub = hub();
    let ferry = ada(&hub);
    Shape::default().create(&ferry.file("app.db"), 50, 1);
    ferry.ok(&["push", "app.db", "app"]);
    let token = ferry.ok(&["db", "token", "app", "--direction", "pull"]);
    let ferry = ferry.env("FERRY_SYNC_TOKEN", token.trim());
    std::os::unix::fs::symlink("gone.db", ferry.file("link.db")).unwrap();
    for (file, word) in [("missing/copy.db", "mkdir -p missing"), ("link.db", "symbolic link to gone.db")] {
        for arguments in
            [&["clone", "app", file][..], &["pull", "app", file], &["sync", "pull", "--db", file]]
        {
            let error = ferry.fails(10, arguments);
            assert!(error.contains(word), "{arguments:?}: {error}");
        }
    }
    assert!(!ferry.file("gone.db").exists() && !ferry.file("missing").exists());
    assert_eq!(hub.log().matches("session").count(), 0, "no session was begun:\n{}", hub.log());
    let error = ferry.fails(10, &["push", "missing/app.db", "app"]);
    assert!(error.contains("missing/app.db does not exist"), "{error}");
}

/// A database in WAL mode that nobody has open, in a folder that takes no new files: SQLite wants to make a -wal and a
/// -shm there, and said only that it cannot open the file.
// Verifies: PAG-60
#[test]
fn an_idle_wal_file_in_a_folder_that_cannot_be_written_is_read() {
    let hub = hub();
    let one = ada(&hub);
    let shelf = one.file("shelf");
    fs::create_dir(&shelf).unwrap();
    let file = shelf.join("app.db");
    Shape { wal: true, ..Shape::default() }.create(&file, 50, 1);
    let before = ferry_testkit::dump::dump(&file);
    assert!(!shelf.join("app.db-wal").exists(), "it is idle");
    let token = one.ok(&["db", "token", "app", "--direction", "push"]);
    // Whoever may write everything is somebody else here.
    let guest = one.clone().as_nobody().env("FERRY_SYNC_TOKEN", token.trim());
    fs::set_permissions(&shelf, fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let pushed = guest.run(&["sync", "push", "--db", "shelf/app.db"]);
    // What the hub accepted is pushed, though nothing can be noted beside the file.
    let session = ferry_testkit::Session::login(hub.address(), "ada@example.com");
    let owner = guest.clone().env("FERRY_TOKEN", &session.token);
    owner.ok(&["db", "create", "second"]);
    let noted = ["pushed ", "up to date "].map(|word| (word, owner.run(&["push", "shelf/app.db", "second"])));
    // And with a WAL that was left there, which cannot be read without writing, it says what to do.
    fs::set_permissions(&shelf, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(shelf.join("app.db-wal"), "not empty").unwrap();
    fs::set_permissions(&shelf, fs::Permissions::from_mode(0o555)).unwrap();
    let message = guest.run(&["sync", "push", "--db", "shelf/app.db"]);
    fs::set_permissions(&shelf, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(pushed.code, Some(0), "{}", pushed.stderr);
    for (word, message) in noted {
        assert!(message.code == Some(0) && message.stdout.starts_with(word), "{message:?}");
        assert!(message.stderr.contains("cannot be noted beside it"), "{message:?}");
    }
    assert!(message.code == Some(10) && message.stderr.contains("copy both files"), "{message:?}");
    one.ok(&["clone", "app", "copy.db"]);
    assert!(ferry_testkit::dump::dump(&one.file("copy.db")) == before);
}

/// A file whose end was lost was pushed, with zeros for what was missing, and every clone was corrupt; or it was said to be
/// encrypted.
// Verifies: PAG-60, PAG-70
#[test]
fn a_truncated_file_is_refused_before_anything_is_sent() {
    let hub = hub();
    let ada = ada(&hub);
    Shape::default().create(&ada.file("app.db"), 500, 1);
    let whole = fs::read(ada.file("app.db")).unwrap();
    let page = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
    let pages = whole.len() / page;
    // The count in the header binds only where the two counters are equal: older SQLite left it alone.
    let mut stale = whole.clone();
    stale[24] ^= 1;
    for (bytes, there) in [
        (&whole[..whole.len() - 100], pages - 1),
        (&whole[..page * 2], 2),
        (&whole[..page * 2 + 5], 2),
        (&whole[..page - 5], 0),
        (&stale[..whole.len() - 100], pages - 1),
    ] {
        fs::write(ada.file("cut.db"), bytes).unwrap();
        let message = ada.fails(10, &["push", "cut.db", "app"]);
        assert!(
            message.contains(&format!("cut.db is cut off: {there} of {pages} pages are there")),
            "{message}"
        );
        let message = ada.fails(10, &["push", "cut.db", "app", "--json"]);
        assert!(message.contains("FILE_DAMAGED"), "{message}");
    }
    assert!(ada.ok(&["push", "app.db", "app"]).starts_with("pushed 1-"));
}

/// What is not in the file itself, but in its WAL, is not missing.
// Verifies: PAG-60
#[test]
fn a_file_whose_pages_are_still_in_its_wal_is_pushed_complete() {
    let hub = hub();
    let ada = ada(&hub);
    let file = ada.file("app.db");
    let program = Connection::open(&file).unwrap();
    program
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
             INSERT INTO t SELECT hex(randomblob(20)) FROM n",
        )
        .unwrap();
    let length = fs::metadata(&file).unwrap().len();
    assert!(length < 20_000, "the pages are in the WAL: {length}");
    ada.ok(&["push", "app.db", "app"]);
    ada.ok(&["clone", "app", "copy.db"]);
    assert_eq!(rows(&ada.file("copy.db")), 5000);
    // And after the WAL is emptied while the program goes on.
    program.execute_batch("DELETE FROM t WHERE rowid > 2500; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    ada.ok(&["push", "app.db"]);
    // Bytes behind the last page are none of SQLite's.
    drop(program);
    let mut longer = fs::read(&file).unwrap();
    longer.extend_from_slice(b"behind");
    fs::write(ada.file("longer.db"), longer).unwrap();
    ada.ok(&["db", "create", "longer"]);
    ada.ok(&["push", "longer.db", "longer"]);
}

/// An export replaced whatever stood under its name, a database too.
// Verifies: EVT-46
#[test]
fn an_export_replaces_nothing_but_an_earlier_export() {
    let hub = hub();
    let ada = ada(&hub);
    ada.ok(&["events", "append", "app", "v1.Made", "--store", "app"]);
    let (events, records) = (["events", "export", "app", "app"], ["records", "export", "app"]);
    Shape::default().create(&ada.file("app.db"), 10, 1);
    fs::write(ada.file("notes.txt"), "{}\n").unwrap();
    fs::create_dir(ada.file("folder")).unwrap();
    for export in [&events[..], &records[..]] {
        for name in ["app.db", "notes.txt", "folder"] {
            let before = fs::read(ada.file(name)).ok();
            let message = ada.fails(6, &[export, &[name]].concat());
            assert!(message.contains("no earlier export: name another file"), "{message}");
            assert_eq!(fs::read(ada.file(name)).ok(), before);
        }
    }
    fs::write(ada.file("events"), "").unwrap();
    fs::write(ada.file("records"), "").unwrap();
    for _ in 0..2 {
        ada.ok(&[&events[..], &["events"]].concat());
        ada.ok(&[&records[..], &["records"]].concat());
    }
    ada.fails(6, &[&events[..], &["records"]].concat());
    ada.fails(6, &[&records[..], &["events"]].concat());
}
