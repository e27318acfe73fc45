//! Encrypted backups: nothing of them can be read without the key, and everything with it.

use std::{fs, path::Path};

use super::{Backed, objects};
use crate::records::insert;
use serde_json::json;

/// What a frame of zstd begins with: chunks are compressed, so a row of theirs may not stand there as it is.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A row that nobody else may read.
const ROW: &str = "q8Zr2Lx0vN5tKc7WbYdE";

/// A hub that encrypts its backups.
fn encrypted(key: &Path) -> Backed {
    let key = key.to_str().unwrap().to_owned();
    let backed = Backed::with(|options| options.arg(format!("--backup-key-file={key}")));
    backed.write(0);
    backed.records.push("maker", "", &json!([insert("tasks", "secret", ROW)]));
    backed
}

fn new_key(folder: &Path, name: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    let ferry = ferry_testkit::command::Ferry::new(crate::support::FERRY, "http://127.0.0.1:1");
    let told = ferry.run(&["backup", "key", "create", path.to_str().unwrap()]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stderr.contains("# key "), "{}", told.stderr);
    let secret = fs::read_to_string(&path).unwrap();
    assert!(!told.stderr.contains(secret.trim()) && !told.stdout.contains(secret.trim()));
    ferry.fails(6, &["backup", "key", "create", path.to_str().unwrap()]);
    path
}

fn holds(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

// Verifies: OPR-01, OPR-10, OPR-20
#[test]
fn nothing_of_an_encrypted_backup_is_read_without_its_key() {
    let keys = tempfile::tempdir().unwrap();
    let (key, other) = (new_key(keys.path(), "backup.key"), new_key(keys.path(), "other.key"));
    let backed = encrypted(&key);
    let (id, _) = backed.back_up();
    backed.records.push("maker", "", &json!([insert("tasks", "secret2", ROW)]));
    let (id2, _) = backed.back_up();
    let secret = fs::read_to_string(&key).unwrap();
    let token = backed.records.place.hub.operator_token();
    let root = backed.target.path();
    for object in objects(root) {
        let bytes = fs::read(root.join(&object)).unwrap();
        let plain = [ROW, "ada@example.com", &backed.records.place.database, &token, secret.trim()];
        for what in plain {
            assert!(!holds(&bytes, what.as_bytes()), "{object} holds {what}");
        }
        assert!(!holds(&bytes, &ZSTD), "{object} holds what is only compressed");
    }
    // The same without a key, by which the search is known to find something.
    let plain = Backed::new();
    plain.write(0);
    plain.back_up();
    let all = objects(plain.target.path());
    assert!(all.iter().any(|object| holds(&fs::read(plain.target.path().join(object)).unwrap(), &ZSTD)));
    // Without the key, or with another one: told at once.
    let url = backed.url();
    let ferry = || backed.operator();
    let name = |file: &Path| file.to_str().unwrap().to_owned();
    let to = ferry().file("restored");
    let restore = ["backup", "restore", "--target", &url, "--to", to.to_str().unwrap()];
    for arguments in
        [&["backup", "list", "--target", &url][..], &["backup", "verify", "--target", &url], &restore]
    {
        let told = ferry().fails(9, arguments);
        assert!(told.contains("encrypted with the key"), "{told}");
        let told = ferry().env("FERRY_BACKUP_KEY_FILE", &name(&other)).fails(9, arguments);
        assert!(told.contains("backup.key_file holds"), "{told}");
    }
    assert!(!to.exists());
    let json = ferry().fails(9, &["backup", "list", "--target", &url, "--json"]);
    assert!(json.contains("WRONG_KEY"), "{json}");
    // With it all of it, and what signs tokens.
    let with = || ferry().env("FERRY_BACKUP_KEY_FILE", &name(&key));
    for id in [&id, &id2] {
        let verified = with().ok(&["backup", "verify", id, "--target", &url]);
        assert_eq!(verified.lines().filter(|line| line.starts_with("ok\t")).count(), 2, "{verified}");
    }
    ferry().ok(&["backup", "verify"]);
    let restoring = with();
    let to = restoring.file("restored");
    let told = restoring.run(&["backup", "restore", "--target", &url, "--to", to.to_str().unwrap()]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(!told.stderr.contains("keyring.json"), "{}", told.stderr);
    for file in ["keyring.json", "operator.token"] {
        let was = fs::read(backed.records.place.hub.data_dir().join(file)).unwrap();
        assert_eq!(fs::read(to.join(file)).unwrap(), was, "{file}");
    }
    with().ok(&["backup", "prune", "--target", &url, "--keep", "last=1"]);
    with().ok(&["backup", "verify", "--target", &url]);
    // A target is one or the other.
    let told = with().fails(9, &["backup", "list", "--target", &plain.url()]);
    assert!(told.contains("not encrypted") && told.contains("target of its own"), "{told}");
    let key = name(&key);
    let plain = plain.restarted_with(|options| options.arg(format!("--backup-key-file={key}")));
    let told = plain.operator().fails(9, &["backup", "create"]);
    assert!(told.contains("not encrypted"), "{told}");
}

// Verifies: OPR-10
#[test]
fn what_was_changed_or_swapped_in_an_encrypted_target_is_named() {
    let keys = tempfile::tempdir().unwrap();
    let key = new_key(keys.path(), "backup.key");
    let backed = encrypted(&key);
    backed.back_up();
    backed.records.push("maker", "", &json!([insert("tasks", "secret2", ROW)]));
    let (id, _) = backed.back_up();
    let (root, url) = (backed.target.path().to_owned(), backed.url());
    let ferry = backed.operator().env("FERRY_BACKUP_KEY_FILE", key.to_str().unwrap());
    let all = objects(&root);
    for folder in ["packs/", "index/", "snapshots/"] {
        let of: Vec<&String> = all.iter().filter(|object| object.starts_with(folder)).collect();
        let object = of.iter().find(|object| object.contains(&*id)).or(of.first()).unwrap();
        let other = of.iter().find(|other| other != &object).unwrap();
        let (path, whole) = (root.join(object), fs::read(root.join(object)).unwrap());
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for (what, content) in [("flipped", flipped), ("swapped", fs::read(root.join(other)).unwrap())] {
            fs::write(&path, content).unwrap();
            let told = ferry.run(&["backup", "verify", &id, "--target", &url]);
            assert_eq!(told.code, Some(11), "{object} {what}: {}", told.stderr);
        }
        fs::write(&path, &whole).unwrap();
    }
    ferry.ok(&["backup", "verify", &id, "--target", &url]);
}

// Verifies: OPR-01
#[test]
fn a_key_file_that_is_none_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.key");
    fs::write(&bad, "ferry-backup-key-1:AAAA").unwrap();
    let start = |key: &Path| {
        let argument = format!("--backup-key-file={}", key.display());
        let options = crate::support::options().arg("--backup-target=file:///tmp/nowhere").arg(argument);
        options.try_start().map(drop).expect_err("it does not start")
    };
    for key in [&bad, &folder.path().join("none.key")] {
        let refused = start(key);
        assert_eq!(refused.code, Some(78), "{refused:?}");
        assert!(refused.output.contains("backup-key-file"), "{refused:?}");
        assert!(!refused.output.contains("AAAA"), "{refused:?}");
    }
}
