//! The README's first command.

use std::fs;

use ferry_testkit::{command::Ferry, sample::Shape};

use crate::support::FERRY;

#[test]
fn the_demo_pushes_pulls_and_proves_without_touching_the_file() {
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    let file = ferry.file("mine.db");
    Shape { wal: true, ..Shape::default() }.create(&file, 500, 1);
    // In use by another program, with a WAL of its own.
    let user = rusqlite::Connection::open(&file).unwrap();
    user.execute_batch("UPDATE item SET price = 3 WHERE id = 1").unwrap();
    let before = (fs::read(&file).unwrap(), fs::read(ferry.file("mine.db-wal")).unwrap());
    let said = ferry.ok(&["demo", "mine.db"]);
    assert!(said.contains("mine.db") && said.contains("ok"), "{said}");
    let after = (fs::read(&file).unwrap(), fs::read(ferry.file("mine.db-wal")).unwrap());
    assert!(before == after, "the demo changed its source");
    assert!(!ferry.config_dir().join("credentials.toml").exists(), "the demo left an account behind");
}

#[test]
fn completions_are_a_script() {
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    for shell in ["bash", "zsh", "fish"] {
        assert!(ferry.ok(&["completions", shell]).contains("ferry"), "{shell}");
    }
    ferry.fails(2, &["completions", "no-such-shell"]);
}
