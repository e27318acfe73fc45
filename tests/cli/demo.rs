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

/// A name with a slip started a hub, made an account, and only then said that there is no such file.
#[test]
fn the_demo_says_what_is_wrong_with_its_file_before_it_starts_a_hub() {
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    fs::write(ferry.file("text.db"), "no database at all\n".repeat(500)).unwrap();
    fs::write(ferry.file("empty.db"), "").unwrap();
    for name in ["nope.db", "text.db", "empty.db"] {
        let output = ferry.run(&["demo", name]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(10), ""), "{name}: {}", output.stderr);
        assert!(output.stderr.contains(name), "{}", output.stderr);
    }
}

/// Without a name it pushed a browser's history, if it found one.
#[test]
fn the_demo_ignores_the_databases_of_other_programs() {
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    let cargo = ferry.file(".cargo");
    fs::create_dir(&cargo).unwrap();
    Shape::default().create(&cargo.join(".global-cache"), 10, 1);
    let home = ferry.files();
    let said = ferry
        .clone()
        .env("HOME", home.to_str().unwrap())
        .env("CARGO_HOME", cargo.to_str().unwrap())
        .ok(&["demo"]);
    assert!(said.contains("a sample made just now") && !said.contains(".global-cache"), "{said}");
}

#[test]
fn each_known_shell_gets_a_completion_script() {
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    for shell in ["bash", "zsh", "fish"] {
        assert!(ferry.ok(&["completions", shell]).contains("ferry"), "{shell}");
    }
    ferry.fails(2, &["completions", "no-such-shell"]);
}
