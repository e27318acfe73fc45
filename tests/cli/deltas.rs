//! What a push and a pull cost, with a base copy, without, with a damaged one; and from an unknown base.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
};

use ferry_testkit::{
    Hub,
    command::{Ferry, names},
    dump::{assert_equal, dump},
    rng::Rng,
    sample::{self, Shape},
};
use serde_json::Value;

use super::sync::{ada, run, second_machine};
use crate::support::hub;

fn json(ferry: &Ferry, arguments: &[&str]) -> Value {
    serde_json::from_str(&ferry.ok(&[arguments, &["--json"]].concat())).unwrap()
}

fn bytes(done: &Value) -> u64 {
    done["wire_bytes"].as_u64().unwrap_or_else(|| panic!("{done}"))
}

/// A file of some megabytes at two machines.
fn two_machines() -> (Hub, Ferry, Ferry) {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    sample::standard(&one.file("app.db"), 8000, 3);
    one.ok(&["push", "app.db", "app"]);
    two.ok(&["clone", "app", "copy.db"]);
    (hub, one, two)
}

// Verifies: PAG-61, PAG-63, PAG-64
#[test]
fn a_changed_row_travels_as_a_few_bytes_in_both_directions() {
    let (_hub, one, two) = two_machines();
    run(&one.file("app.db"), "UPDATE t SET amount = 7.25 WHERE id = 4000");
    let pushed = json(&one, &["push", "app.db"]);
    assert!(bytes(&pushed) <= 350, "{pushed}");
    let pulled = json(&two, &["pull", "copy.db"]);
    assert!(bytes(&pulled) <= 250 && pulled["tag"] == pushed["tag"], "{pulled}");
    assert_equal(&one.file("app.db"), &two.file("copy.db"));
    // The other way, against the base copy that the clone made; twice, since the first push brings it up to date.
    for amount in [8, 9] {
        run(&two.file("copy.db"), &format!("UPDATE t SET amount = {amount} WHERE id = 100"));
        let pushed = json(&two, &["push", "copy.db"]);
        assert!(bytes(&pushed) <= 350, "{pushed}");
        let pulled = json(&one, &["pull", "app.db"]);
        assert!(bytes(&pulled) <= 250, "{pulled}");
    }
    assert_equal(&one.file("app.db"), &two.file("copy.db"));
    for (ferry, verb, file) in [(&one, "push", "app.db"), (&two, "pull", "copy.db")] {
        let none = json(ferry, &[verb, file]);
        assert_eq!((bytes(&none), &none["changed"]), (0, &Value::Bool(false)), "{none}");
    }
}

// Verifies: PAG-61
#[test]
fn a_vacuum_moves_pages_and_sends_few_of_them() {
    let (_hub, one, two) = two_machines();
    run(&one.file("app.db"), "DELETE FROM t WHERE id % 20 = 0");
    one.ok(&["push", "app.db"]);
    run(&one.file("app.db"), "VACUUM");
    let pushed = json(&one, &["push", "app.db"]);
    assert!(bytes(&pushed) < pushed["bytes"].as_u64().unwrap() / 5, "{pushed}");
    two.ok(&["pull", "copy.db"]);
    assert_equal(&one.file("app.db"), &two.file("copy.db"));
}

// Verifies: PAG-61
#[test]
fn without_a_base_copy_a_push_is_larger_and_right() {
    let (_hub, one, two) = two_machines();
    run(&one.file("app.db"), "UPDATE t SET amount = 1 WHERE id = 1");
    one.ok(&["push", "app.db", "--no-base"]);
    assert!(!one.file("app.db-ferry-base").exists());
    for round in 0..3 {
        run(&one.file("app.db"), &format!("UPDATE t SET amount = {round} WHERE id % 1000 = {round}; VACUUM"));
        one.ok(&["push", "app.db"]);
        assert!(!one.file("app.db-ferry-base").exists(), "it stays without");
        two.ok(&["pull", "copy.db", "--no-base"]);
        assert_equal(&one.file("app.db"), &two.file("copy.db"));
    }
}

/// A page of a damaged base copy, taken as prefix, would make a body that leads elsewhere.
// Verifies: PAG-61
#[test]
fn bits_that_flip_in_the_base_copy_and_the_state_harm_nothing() {
    let (_hub, one, two) = two_machines();
    let mut rng = Rng::new(11);
    for round in 0..6 {
        let base = OpenOptions::new().write(true).open(one.file("app.db-ferry-base")).unwrap();
        let length = base.metadata().unwrap().len();
        for _ in 0..400 {
            base.write_all_at(&rng.bytes(1), rng.below(length)).unwrap();
        }
        drop(base);
        if round % 2 == 1 {
            let state = OpenOptions::new().write(true).open(one.file("app.db-ferry")).unwrap();
            // Beyond the pages that SQLite needs to open it.
            let length = state.metadata().unwrap().len();
            state.write_all_at(&rng.bytes(16), length / 2 + rng.below(length / 4)).unwrap();
        }
        run(&one.file("app.db"), &format!("UPDATE t SET note = 'round {round}' WHERE id % 60 = {round}"));
        let pushed = one.run(&["push", "app.db"]);
        if pushed.code != Some(0) {
            // A damaged state is found out, and may be removed: what the hub has decides.
            fs::remove_file(one.file("app.db-ferry")).unwrap();
            let said = one.run(&["push", "app.db", "app"]);
            assert!(matches!(said.code, Some(0 | 6)), "{}{}", pushed.stderr, said.stderr);
            one.ok(&["push", "app.db", "app", "--force"]);
        }
        two.ok(&["pull", "copy.db"]);
        assert_equal(&one.file("app.db"), &two.file("copy.db"));
    }
}

/// The state is lost, the file was vacuumed and changed, and the hub has moved on: digests are compared, and what differs
/// travels.
// Verifies: PAG-27, PAG-63, PAG-65
#[test]
fn an_unknown_base_is_reconciled_in_few_requests() {
    let (hub, one, two) = two_machines();
    let (file, copy) = (one.file("app.db"), two.file("copy.db"));
    run(&file, "UPDATE t SET amount = amount + 1 WHERE id % 500 = 0");
    one.ok(&["push", "app.db"]);
    fs::remove_file(two.file("copy.db-ferry")).unwrap();
    run(&copy, "UPDATE t SET amount = 3 WHERE id = 7");
    let edited = dump(&copy);
    two.fails(6, &["pull", "app", "copy.db"]);
    let before = hub.log().matches("/pages").count();
    let pulled = json(&two, &["pull", "app", "copy.db", "--force"]);
    assert!(hub.log().matches("/pages").count() - before <= 5, "{}", hub.log());
    assert!(bytes(&pulled) < pulled["page_count"].as_u64().unwrap() * 4096 / 10, "{pulled}");
    assert_equal(&file, &copy);
    let saved = names(&two.files()).into_iter().find(|name| name.ends_with(".bak")).unwrap();
    assert!(dump(&two.file(&saved)) == edited);

    // A push over what the hub has sends what differs.
    fs::remove_file(one.file("app.db-ferry")).unwrap();
    run(&file, "UPDATE t SET amount = 4 WHERE id = 9");
    one.fails(6, &["push", "app.db", "app"]);
    let pushed = json(&one, &["push", "app.db", "app", "--force"]);
    assert!(bytes(&pushed) < 40_000, "{pushed}");
    two.ok(&["pull", "copy.db"]);
    assert_equal(&file, &copy);
    // What the hub had once is no conflict, whatever the state says of it.
    run(&file, "UPDATE t SET amount = 5 WHERE id = 9");
    one.ok(&["push", "app.db"]);
    fs::remove_file(two.file("copy.db-ferry")).unwrap();
    assert!(two.ok(&["pull", "app", "copy.db"]).starts_with("pulled "));
    assert_equal(&file, &copy);
}

// Verifies: PAG-20, PAG-44, PAG-66
#[test]
fn files_of_every_shape_are_pushed_cloned_changed_and_pulled() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let mut rng = Rng::new(5);
    for (number, page_size) in [512, 1024, 4096, 8192, 65536].into_iter().enumerate() {
        for auto_vacuum in 0..=2 {
            let wal = rng.below(2) == 0;
            let name = format!("s{number}-{auto_vacuum}");
            one.ok(&["db", "create", &name]);
            let (file, copy) = (one.file(&format!("{name}.db")), two.file(&format!("{name}.db")));
            let (reserved, utf16) = (if auto_vacuum == 1 { 32 } else { 0 }, page_size == 1024);
            // A page of 512 bytes has no room for reserved ones beyond 32.
            Shape { page_size, auto_vacuum, reserved, utf16, wal }.create(&file, 300, 1);
            let name_db = format!("{name}.db");
            one.ok(&["push", &name_db, &name]);
            two.ok(&["clone", &name]);
            assert_equal(&file, &copy);
            run(&file, "DELETE FROM item WHERE id % 3 = 0; UPDATE item SET name = 'x' WHERE id % 5 = 0");
            one.ok(&["push", &name_db]);
            two.ok(&["pull", &name_db]);
            assert_equal(&file, &copy);
            let next = if page_size == 4096 { 1024 } else { 4096 };
            run(&file, &format!("PRAGMA journal_mode=DELETE; PRAGMA page_size={next}; VACUUM"));
            one.ok(&["push", &name_db]);
            two.ok(&["pull", &name_db]);
            assert_equal(&file, &copy);
            assert!(two.ok(&["verify", &name_db]).contains("integrity check: ok"));
        }
    }
}

/// The `sqlite3` of the system, another version than the one that is built in, writes and reads the files.
// Verifies: PAG-20, PAG-44, PAG-60
#[test]
fn files_of_another_sqlite_are_pushed_and_pulled() {
    let shell = |file: &std::path::Path, sql: &str| {
        let ran = std::process::Command::new("sqlite3").arg(file).arg(sql).output().expect("sqlite3 runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    };
    if std::process::Command::new("sqlite3").arg("-version").output().is_err() {
        eprintln!("SKIPPED: no sqlite3 is installed (Debian: sqlite3)");
        return;
    }
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let (file, copy) = (one.file("app.db"), two.file("copy.db"));
    for mode in ["WAL", "DELETE"] {
        let sql = format!(
            "PRAGMA journal_mode={mode}; CREATE TABLE IF NOT EXISTS t(a, b);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
             INSERT INTO t SELECT i, hex(randomblob(40)) FROM n; DELETE FROM t WHERE a % 7 = 0"
        );
        shell(&file, &sql);
        one.ok(&["push", "app.db", "app"]);
        two.ok(&["pull", "app", "copy.db"]);
        assert_eq!(shell(&copy, "PRAGMA integrity_check"), "ok\n");
        assert_eq!(
            shell(&copy, "SELECT count(*), sum(a) FROM t"),
            shell(&file, "SELECT count(*), sum(a) FROM t")
        );
        shell(&copy, "UPDATE t SET b = 'there' WHERE a = 8; VACUUM");
        two.ok(&["push", "copy.db"]);
        one.ok(&["pull", "app.db"]);
        assert_eq!(shell(&file, "SELECT DISTINCT b FROM t WHERE a = 8"), "there\n");
        assert_equal(&copy, &file);
    }
}
