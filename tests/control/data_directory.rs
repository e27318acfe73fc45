//! The data directory: who may read it, who may hold it, and what must be in it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use ferry_testkit::{
    hub::{Options, listing},
    wait,
};

use super::startup::{must_fail, names};
use crate::support::{Place, control_db, hub, options};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

// Verifies: CFG-02
#[test]
fn the_first_start_makes_private_files_and_wider_ones_are_refused() {
    let mut hub = hub();
    let data = hub.data_dir();
    assert_eq!(mode(&data), 0o700);
    for file in ["control.db", "operator.token", "keyring.json"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    let operator = fs::read_to_string(data.join("operator.token")).unwrap();
    let secret = operator.trim().strip_prefix("fop_").expect("an operator token");
    assert_eq!(secret.len(), 43);
    assert!(!hub.log().contains(secret), "the operator token is in the log");

    hub.stop();
    for (file, right) in [("keyring.json", 0o600), ("operator.token", 0o600), (".", 0o700)] {
        let path = data.join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(right | 0o044)).unwrap();
        let refused = must_fail(options().data_dir(&data));
        names(&refused, &["chmod"]);
        fs::set_permissions(&path, fs::Permissions::from_mode(right)).unwrap();
    }
    let _hub = options().data_dir(&data).start();
}

// `serve --data-dir /` advised `chmod 700 /`, which locks everybody out of the machine.
// Verifies: CFG-07
#[test]
fn a_shared_directory_is_refused_without_advising_chmod() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let (open, private) = (home.join("open"), home.join("private"));
    for folder in [&open, &private] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("theirs.txt"), "not a hub's").unwrap();
    }
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(&open, 0o755);
    set(&private, 0o700);
    for home_mode in [0o755, 0o700] {
        set(&home, home_mode);
        for dir in ["/", "/tmp", "/var/lib", "/dev/shm", home.to_str().unwrap(), open.to_str().unwrap()] {
            let refused = must_fail(options().data_dir(dir).env("HOME", home.to_str().unwrap()));
            let instead = Path::new(dir).canonicalize().unwrap().join("ferry");
            names(&refused, &["data_dir", &format!("--data-dir {}", instead.display())]);
            assert!(!refused.output.contains("chmod"), "{}", refused.output);
            assert!(!instead.exists() && !Path::new(dir).join("lock").exists(), "{dir}: something was made");
        }
    }

    // What the advice names works, and so does a private folder, whatever else is in it.
    for dir in [home.join("ferry"), private] {
        drop(options().data_dir(dir).env("HOME", home.to_str().unwrap()).start());
    }
    // A hub that has its data in a home keeps it.
    let data = home.join("ferry");
    drop(options().data_dir(&data).env("HOME", data.to_str().unwrap()).start());
    // An empty folder is ours to lock, and the advice can be pasted.
    let empty = home.join("it's empty");
    fs::create_dir(&empty).unwrap();
    set(&empty, 0o755);
    let advice = format!("chmod 700 '{}/it'\\''s empty'", home.display());
    names(&must_fail(options().data_dir(&empty)), &[&advice]);
}

// Verifies: CFG-02
#[test]
fn one_process_holds_a_data_directory() {
    let place = Place::new();
    let refused = place.hub.second().expect_err("a second process must not start");
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    names(&refused, &["another ferry process"]);
    place.user.create_database("still-served");
}

// The lock lay in a file alone: with `rm DATA/lock` a second hub was let in beside the first, and both wrote.
// Verifies: CFG-02
#[test]
fn the_file_lock_may_be_removed_and_keeps_others_out_all_the_same() {
    let place = Place::new();
    let file = place.hub.data_dir().join("lock");
    for _ in 0..2 {
        fs::remove_file(&file).unwrap();
        let refused = place.hub.second().expect_err("a second process must not start");
        assert_eq!(refused.code, Some(78), "{}", refused.output);
        wait::until("the file to be made anew", || file.exists().then_some(()));
    }
    place.user.create_database("still-served");
    wait::until("the log to say so", || place.hub.log().contains("made anew").then_some(()));
}

// A hub whose directory was replaced wrote on, partly into the old files and partly into the new.
// Verifies: CFG-02
#[test]
fn a_hub_whose_directory_is_moved_or_replaced_ends_within_a_second() {
    type Harm = fn(&Path);
    let harms: [(Harm, &str); 2] = [
        (|data| fs::rename(data, data.with_extension("old")).unwrap(), "moved or replaced"),
        (
            |data| fs::rename(data.join("control.db"), data.join("control.old")).unwrap(),
            "control.db was removed",
        ),
    ];
    for (harm, word) in harms {
        let mut place = Place::new();
        let data = place.hub.data_dir();
        let (took, status) = wait::timed(|| {
            harm(&data);
            place.hub.ended()
        });
        assert_eq!(status.code(), Some(1));
        assert!(took < wait::PROMPT, "{took:?}");
        wait::until("the log to say why", || place.hub.log().contains(word).then_some(()));
    }
}

// A hub whose control.db was lost began anew, empty, beside the databases of everybody.
// Verifies: CFG-07
#[test]
fn a_missing_control_db_beside_databases_ends_the_start() {
    let mut place = Place::new();
    let file = place.hub.data_dir().with_file_name("app.db");
    ferry_testkit::sample::Shape::default().create(&file, 5, 1);
    place.push(&file);
    let data = place.hub.data_dir();
    let (control, aside) = (data.join("control.db"), data.with_file_name("control.db"));
    for empty in [false, true] {
        place.hub.stop();
        fs::rename(&control, &aside).unwrap();
        if empty {
            fs::write(&control, "").unwrap();
        }
        let before = listing(&data);
        let refused = must_fail(options().data_dir(&data));
        names(&refused, &["control.db", "backup", "--data-dir"]);
        assert_eq!(listing(&data), before, "nothing is made");
        fs::rename(&aside, &control).unwrap();
        place = place.restarted();
    }
    place.pull(&file.with_extension("copy"));
}

#[test]
fn an_unreadable_key_ring_is_never_made_anew() {
    let mut hub = hub();
    let ring = hub.data_dir().join("keyring.json");
    hub.stop();
    for content in ["", "{", "{\"version\":1,\"keys\":[]}", "{\"version\":9}"] {
        fs::write(&ring, content).unwrap();
        names(&must_fail(options().data_dir(hub.data_dir())), &["keyring.json"]);
        assert_eq!(fs::read_to_string(&ring).unwrap(), content);
    }
}

// Verifies: CFG-03
#[test]
fn another_schema_version_ends_the_start_without_changing_files() {
    let mut hub = hub();
    hub.signup("ada@example.com");
    hub.stop();
    let version: i64 = control_db(&hub).query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let set = |version: i64| control_db(&hub).pragma_update(None, "user_version", version).unwrap();
    set(version + 1);
    // A newer one is only in the way of programs that may no longer write it.
    let readers = |version: i64| {
        control_db(&hub)
            .execute("UPDATE _ferry_meta SET value = ?1 WHERE key = 'min_reader'", [version])
            .unwrap()
    };
    let min_reader: i64 = control_db(&hub)
        .query_row("SELECT value FROM _ferry_meta WHERE key = 'min_reader'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(readers(version + 1), 1);
    let before = fs::read(hub.data_dir().join("control.db")).unwrap();
    names(&must_fail(options().data_dir(hub.data_dir())), &["control.db"]);
    assert_eq!(fs::read(hub.data_dir().join("control.db")).unwrap(), before);

    // An older schema can only be had once there are two; the file is a fresh one as long as there is none.
    if version > 1 {
        set(version - 1);
        let before = fs::read(hub.data_dir().join("control.db")).unwrap();
        names(&must_fail(options().data_dir(hub.data_dir()).env("AUTO_MIGRATE", "false")), &["auto_migrate"]);
        assert_eq!(fs::read(hub.data_dir().join("control.db")).unwrap(), before);
    }
    set(version);
    readers(min_reader);
    let _hub = options().data_dir(hub.data_dir()).env("AUTO_MIGRATE", "false").start();
}

// Verifies: CFG-05
#[test]
fn a_data_directory_is_used_by_dev_or_server_mode_only() {
    for (first, second) in [(true, false), (false, true)] {
        let with = |options: Options, dev: bool| if dev { options.arg("--dev") } else { options };
        let mut hub = with(options(), first).start();
        hub.stop();
        let before = listing(&hub.data_dir());
        let refused = must_fail(with(options().data_dir(hub.data_dir()), second));
        names(&refused, &["dev", "--data-dir"]);
        let after = listing(&hub.data_dir());
        let stays = |list: &[(String, u64)]| -> Vec<(String, u64)> {
            list.iter()
                .filter(|(name, _)| !name.ends_with("-wal") && !name.ends_with("-shm"))
                .cloned()
                .collect()
        };
        assert_eq!(stays(&before), stays(&after));
    }
}
