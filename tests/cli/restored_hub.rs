//! Page clients of a hub whose data directory was restored from a backup.

use std::{fs, path::Path, process::Command};

use ferry_testkit::{Hub, command::Ferry, sample::Shape};

use super::sync::{ada, run, second_machine};
use crate::support::{options, put_back as put_folder_back};

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// A hub that stays at its address, and its backup.
struct Backed {
    hub: Hub,
    backup: std::path::PathBuf,
}

impl Backed {
    fn new() -> Self {
        let hub = options().start();
        let listen = format!("--listen={}", hub.address());
        let backup = hub.data_dir().with_file_name("backup");
        Self { hub: hub.restart_with(|options| options.arg(listen)), backup }
    }

    fn back_up(self) -> Self {
        let (data, backup) = (self.hub.data_dir(), self.backup.clone());
        let hub = self.hub.restart_with(|options| {
            copy(&data, &backup);
            options
        });
        Self { hub, ..self }
    }

    fn put_back(self) -> Self {
        let (data, backup) = (self.hub.data_dir(), self.backup.clone());
        let hub = self.hub.restart_with(|options| {
            // Nothing in the folder shows it: clients do.
            put_folder_back(&backup, &data);
            options
        });
        Self { hub, ..self }
    }
}

fn set(ferry: &Ferry, price: u32) {
    run(&ferry.file("app.db"), &format!("UPDATE item SET price = {price} WHERE id = 1"));
}

/// `app.db` at both machines is version 2; the hub is put back to version 1.
fn put_back() -> (Backed, Ferry, Ferry) {
    let backed = Backed::new();
    let one = ada(&backed.hub);
    Shape::default().create(&one.file("app.db"), 50, 1);
    one.ok(&["push", "app.db", "app"]);
    let backed = backed.back_up();
    set(&one, 2);
    one.ok(&["push", "app.db"]);
    let two = second_machine(&backed.hub);
    two.ok(&["clone", "app", "app.db"]);
    (backed.put_back(), one, two)
}

// The base of a file was compared by its number alone: with another version 2 at the hub, a push from the lost version 2
// overwrote it silently, and a pull said "up to date".
// Verifies: PAG-63, PAG-65
#[test]
fn another_version_of_the_same_number_is_a_conflict() {
    let (_backed, one, two) = put_back();
    one.ok(&["pull", "app.db", "--force"]);
    set(&one, 3);
    assert!(one.ok(&["push", "app.db"]).starts_with("pushed 2-"));
    // Unchanged and changed, the other machine gets the conflict.
    for change in [None, Some(4)] {
        if let Some(price) = change {
            set(&two, price);
        }
        for verb in ["pull", "push"] {
            let message = two.fails(6, &[verb, "app.db"]);
            assert!(
                message.contains("app was put back") && message.contains("no longer has 2-"),
                "{verb}: {message}"
            );
        }
    }
    let kept = fs::read(two.file("app.db")).unwrap();
    let message = two.run(&["pull", "app.db", "--force"]);
    assert_eq!(message.code, Some(0), "{}", message.stderr);
    let saved = fs::read_dir(two.files()).unwrap().filter_map(Result::ok);
    let saved: Vec<_> = saved.filter(|entry| entry.file_name().to_string_lossy().ends_with(".bak")).collect();
    assert_eq!(saved.len(), 1);
    assert_eq!(fs::read(saved[0].path()).unwrap().len(), kept.len());
    assert!(two.ok(&["push", "app.db"]).starts_with("up to date 2-"));
}

// A pull took the acknowledged version out of the file silently, and the advice said "nothing is lost".
// Verifies: PAG-65
#[test]
fn a_hub_that_is_older_than_the_file_takes_nothing_from_it_unasked() {
    let (_backed, one, two) = put_back();
    let before = ferry_testkit::dump::dump(&one.file("app.db"));
    for verb in ["pull", "push"] {
        let message = one.fails(6, &[verb, "app.db"]);
        assert!(message.contains("app was put back") && message.contains("it is at 1-"), "{verb}: {message}");
    }
    assert!(ferry_testkit::dump::dump(&one.file("app.db")) == before);
    // As it says: the hub comes forward again, and the other machine is where it was.
    assert!(one.ok(&["push", "app.db", "--force"]).starts_with("pushed 2-"));
    assert!(two.ok(&["pull", "app.db"]).starts_with("up to date 2-"));
}
