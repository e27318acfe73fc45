//! Versions at the command line: status, diff, verify, pull --at, restore, fork.

use std::{fs::OpenOptions, os::unix::fs::FileExt as _};

use ferry_testkit::{
    dump::{assert_equal, dump},
    sample::Shape,
};
use serde_json::Value;

use super::sync::{ada, run, second_machine};
use crate::support::hub;

// Verifies: PAG-29, PAG-30, PAG-31, PAG-69
#[test]
fn older_versions_are_listed_pulled_restored_and_forked() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    Shape::default().create(&file, 200, 1);
    let mut dumps = Vec::new();
    for version in 1..=4 {
        run(&file, &format!("UPDATE item SET price = {version} WHERE id = {version}"));
        one.ok(&["push", "app.db", "app"]);
        dumps.push(dump(&file));
    }
    let listed: Value = serde_json::from_str(&one.ok(&["versions", "app", "--json"])).unwrap();
    let versions: Vec<u64> =
        listed["versions"].as_array().unwrap().iter().map(|v| v["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [4, 3, 2, 1]);
    assert_eq!(one.ok(&["versions", "app", "--limit", "2"]).lines().count(), 2);

    two.ok(&["clone", "app", "copy.db", "--at", "2"]);
    let copy = two.file("copy.db");
    assert!(dump(&copy) == dumps[1]);
    for at in ["3", "1", listed["versions"][0]["tag"].as_str().unwrap()] {
        assert!(two.ok(&["pull", "copy.db", "--at", at]).starts_with("pulled "), "{at}");
        let number: usize = at[..1].parse().unwrap();
        assert!(dump(&copy) == dumps[number - 1], "{at}");
    }
    assert!(two.ok(&["pull", "copy.db"]).starts_with("up to date 4-"));
    // A tag that was never given, and a time before all versions.
    for at in ["2001-01-01T00:00:00Z", "2-aaaaaaaaaaaaaaaa"] {
        let error = two.fails(5, &["pull", "copy.db", "--at", at]);
        assert!(error.contains("not kept"), "{error}");
    }

    let said = one.ok(&["restore", "app", "--at", "2"]);
    assert!(said.contains("restored app as 5-"), "{said}");
    two.ok(&["pull", "copy.db"]);
    assert!(dump(&copy) == dumps[1]);
    let forked = one.ok(&["fork", "app", "app-old", "--at", "3"]);
    assert!(forked.contains(" app-old 1-"), "{forked}");
    two.ok(&["clone", "app-old", "old.db"]);
    assert!(dump(&two.file("old.db")) == dumps[2]);
}

// A typo in a number, or a time to come, made a new version of the newest one, and said "restored".
// Verifies: PAG-29, PAG-30
#[test]
fn versions_that_never_were_are_refused_and_the_newest_is_named() {
    let hub = hub();
    let one = ada(&hub);
    Shape::default().create(&one.file("app.db"), 100, 1);
    let pushed = one.ok(&["push", "app.db", "app"]);
    let newest = pushed.split([' ', ':']).nth(1).unwrap();
    for at in ["99999", "9999-aaaaaaaaaaaaaaaa", "2190-01-01T00:00:00Z"] {
        for command in [
            &["restore", "app", "--at", at][..],
            &["clone", "app", "old.db", "--at", at],
            &["pull", "app.db", "--at", at],
            &["fork", "app", "old", "--at", at],
        ] {
            let error = one.fails(5, command);
            assert!(error.contains("the newest") && error.contains(newest), "{command:?}: {error}");
        }
    }
    let listed: Value = serde_json::from_str(&one.ok(&["versions", "app", "--json"])).unwrap();
    assert_eq!(listed["versions"].as_array().unwrap().len(), 1, "{listed}");
}

// Verifies: PAG-69
#[test]
fn status_diff_and_verify_tell_where_a_file_stands() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    Shape::default().create(&file, 400, 1);
    one.fails(9, &["status", "app.db"]);
    one.ok(&["push", "app.db", "app"]);
    two.ok(&["clone", "app", "copy.db"]);
    let said = one.ok(&["status", "app.db"]);
    assert!(said.contains("unchanged since") && said.contains("the same"), "{said}");
    assert_eq!(one.ok(&["diff", "app.db"]), "");

    run(&file, "UPDATE item SET body = zeroblob(3000) WHERE id < 30; CREATE TABLE fresh(a)");
    let output = one.run(&["diff", "app.db", "--json"]);
    assert_eq!(output.code, Some(12), "{}", output.stderr);
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    let tables: Vec<&str> =
        found["tables"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(tables[0] == "item" && tables.contains(&"sqlite_schema") && tables.contains(&"fresh"), "{found}");
    assert!(!tables.contains(&"tag"), "{found}");
    one.fails(11, &["verify", "app.db"]);
    one.ok(&["push", "app.db"]);
    assert!(one.ok(&["verify", "app.db"]).contains("root is the hub's; integrity check: ok"));
    let said = two.ok(&["status", "copy.db"]);
    assert!(said.contains("hub       2-"), "{said}");
    two.ok(&["pull", "copy.db"]);
    assert_equal(&file, &two.file("copy.db"));
    // A bit that flips on the disk.
    let damaged = OpenOptions::new().write(true).open(two.file("copy.db")).unwrap();
    let length = damaged.metadata().unwrap().len();
    damaged.write_all_at(b"\xff\xfe", length - 50).unwrap();
    two.fails(11, &["verify", "copy.db"]);
}
