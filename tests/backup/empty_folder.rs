//! Hubs that begin on an empty disk, as a container with a new volume does (acceptance scenario 8).

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path};

use ferry_testkit::{Hub, Session, command::names, hub::Options};
use serde_json::json;

use super::{Backed, settings, token};
use crate::{
    records::{Records, insert},
    support::{Place, SmallDisk, options, refused},
};

/// A folder that is there, empty and private.
fn volume(path: &Path) {
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

fn beginning(target: &Path, data: &Path) -> Options {
    settings(options(), target).arg("--backup-restore-if-empty=true").data_dir(data)
}

/// The hub of `backed` goes on as `hub`.
fn at(backed: Backed, hub: Hub) -> Backed {
    let Records { place: Place { user, database, .. }, .. } = backed.records;
    let user = Session::login(hub.address(), &user.email);
    let records = Records::at(Place { hub, user, database });
    let token = token(&records.place);
    Backed { records, token, ..backed }
}

/// How many records a new device is given.
fn tasks(backed: &Backed) -> usize {
    let (found, _) = backed.records.pull_all("new", "tasks", "");
    found.iter().map(|change| change["id"].as_str().unwrap()).collect::<BTreeSet<_>>().len()
}

// Verifies: OPR-24
#[test]
fn an_empty_volume_is_filled_from_the_newest_backup() {
    let mut backed = Backed::new();
    backed.write(0);
    backed.back_up();
    backed.write(1);
    backed.operator().ok(&["admin", "user", "operator", "ada@example.com", "--on"]);
    backed.back_up();
    backed.write(2);
    backed.records.place.hub.stop();
    let folder = tempfile::tempdir().unwrap();
    // A disk of its own, where that may be mounted, and a folder as an ext4 volume has one.
    let disk = SmallDisk::mount(64);
    let data = disk.as_ref().map_or_else(|| folder.path().join("data"), |disk| disk.path().to_owned());
    if disk.is_none() {
        volume(&data);
    }
    fs::create_dir(data.join("lost+found")).unwrap();
    let hub = beginning(backed.target.path(), &data).start();
    let log = hub.log();
    assert!(log.contains("restored from the newest backup"), "{log}");
    // Who operates it again is told by the id.
    let told = log.lines().find(|line| line.contains(r"\toperator")).unwrap_or_else(|| panic!("{log}"));
    assert!(
        told.contains("valid again") && told.contains("u_") && !log.contains("ada@example.com"),
        "{told}"
    );
    refused(backed.records.place.user.at(hub.address()).ferry("Whoami", &json!({})), "unauthenticated");
    let backed = at(backed, hub);
    assert_eq!(tasks(&backed), 2);
    // Its clients are told, and nobody asks whether it is a copy.
    assert_eq!(backed.open_store().unwrap_err().status, 503);
    assert!(backed.records.place.user.seq(&backed.records.place.database) >= 1_000_000);
    backed.back_up();
    // It is empty no more: what is written now is there after the next start.
    backed.records.push("maker", "", &json!([insert("tasks", "later", "x")]));
    let backed = backed.restarted_with(|options| options);
    assert_eq!(tasks(&backed), 3);
    assert!(!backed.records.place.hub.log().contains("restored from"), "once");
}

// Verifies: OPR-24
#[test]
fn without_a_backup_a_hub_begins_anew_and_without_a_target_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (target, data) = (folder.path().join("target"), folder.path().join("data"));
    volume(&data);
    let must_end = |options: Options, words: &[&str]| {
        let refused = options.try_start().map(drop).unwrap_err();
        assert_eq!(refused.code, Some(78), "{}", refused.output);
        for word in words {
            assert!(refused.output.contains(word), "{word}: {}", refused.output);
        }
        assert!(names(&data).iter().all(|name| name == "lock"), "{:?}", names(&data));
    };
    // A folder that is not there may be on a disk that is not mounted; a bucket may not answer.
    must_end(beginning(&target, &data), &["restore_if_empty", "mount its disk"]);
    let bucket = options()
        .arg("--backup-target=s3://bucket/hub")
        .arg("--backup-s3-endpoint=http://127.0.0.1:9")
        .arg("--backup-restore-if-empty=true")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    must_end(bucket.data_dir(&data), &["restore_if_empty", "cannot be told"]);
    let no_target = options().arg("--backup-restore-if-empty=true").data_dir(&data);
    must_end(no_target, &["backup.target is not set"]);
    // What lies there is no backup of a hub.
    volume(&target);
    fs::create_dir(target.join("snapshots")).unwrap();
    fs::write(target.join("snapshots/20261129T014200Z-7f3a9c21.json"), "{}").unwrap();
    must_end(beginning(&target, &data), &["restore_if_empty"]);
    fs::remove_dir_all(target.join("snapshots")).unwrap();
    let place = Place::of(beginning(&target, &data).start());
    assert_eq!(
        place.user.ferry("ListDatabases", &json!({})).unwrap()["databases"].as_array().unwrap().len(),
        1
    );
}

// The keys are in no backup that is not encrypted: whoever put them there first had a new, empty hub, without a word.
// Verifies: OPR-24
#[test]
fn keys_that_lie_there_first_are_kept_and_other_things_are_asked_about() {
    let mut backed = Backed::new();
    backed.write(0);
    backed.back_up();
    let from = backed.records.place.hub.data_dir();
    backed.records.place.hub.stop();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    volume(&data);
    for name in ["keyring.json", "operator.token"] {
        fs::copy(from.join(name), data.join(name)).unwrap();
    }
    fs::write(data.join(".keep"), "").unwrap();
    fs::write(data.join("notes.txt"), "").unwrap();
    let refused = beginning(backed.target.path(), &data).try_start().map(drop).unwrap_err();
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    assert!(refused.output.contains("notes.txt") && !data.join("control.db").exists(), "{}", refused.output);
    fs::remove_file(data.join("notes.txt")).unwrap();
    let hub = beginning(backed.target.path(), &data).start();
    assert!(hub.log().contains("restored from the newest backup"), "{}", hub.log());
    // The keys are those that were there: the operator's token is the same.
    assert_eq!(fs::read(data.join("keyring.json")).unwrap(), fs::read(from.join("keyring.json")).unwrap());
    let backed = at(backed, hub);
    assert_eq!(tasks(&backed), 1);
    backed.back_up();
}

// Verifies: OPR-24
#[test]
fn a_fill_that_is_killed_goes_on_and_one_that_fails_leaves_nothing() {
    let mut backed = Backed::new();
    backed.write(0);
    backed.back_up();
    backed.records.place.hub.stop();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for point in ["restore.database", "restore.stamped", "restore.publish", "fill.whole", "fill.moved"] {
        let killed = beginning(backed.target.path(), &data).fault(format!("{point}=kill"));
        assert_eq!(killed.try_start().map(drop).unwrap_err().code, None, "{point}");
    }
    // Also if nobody says any more that it is to be filled: half of it is there already.
    let hub = settings(options(), backed.target.path()).data_dir(&data).start();
    assert!(!data.join(".restoring").exists());
    let backed = at(backed, hub);
    assert_eq!(tasks(&backed), 1);
    // Damaged: no hub begins in its place.
    let other = folder.path().join("other");
    let packs = backed.target.path().join("packs");
    let pack = fs::read_dir(&packs).unwrap().next().unwrap().unwrap().path();
    fs::remove_dir_all(pack).unwrap();
    let refused = beginning(backed.target.path(), &other).try_start().map(drop).unwrap_err();
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    assert!(refused.output.contains("does not restore"), "{}", refused.output);
    assert_eq!(names(&other), ["lock"]);
}
