//! Targets whose objects are missing, changed or swapped: what is wrong is named, and nothing is restored from it.

use std::fs;

use super::{Backed, objects};

// Verifies: OPR-10, OPR-20
#[test]
fn each_object_that_is_deleted_flipped_or_swapped_is_named() {
    let backed = Backed::new();
    backed.write(0);
    let (first, _) = backed.back_up();
    backed.write(1);
    let (id, _) = backed.back_up();
    let root = backed.target.path().to_owned();
    let all = objects(&root);
    let ferry = backed.operator();
    let url = backed.url();
    let to = ferry.file("restored");
    let restore = ["backup", "restore", &id, "--target", &url, "--to", to.to_str().unwrap()];
    for object in all.iter().filter(|path| !path.contains(&*first) || path.starts_with("index/")) {
        let path = root.join(object);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        let other =
            all.iter().find(|other| *other != object && other.split('/').next() == object.split('/').next());
        let swapped = other.map(|other| fs::read(root.join(other)).unwrap());
        for (what, content) in [("deleted", None), ("flipped", Some(flipped)), ("swapped", swapped)] {
            match &content {
                None if what == "deleted" => fs::remove_file(&path).unwrap(),
                None => continue,
                Some(content) => fs::write(&path, content).unwrap(),
            }
            let output = ferry.run(&["backup", "verify", &id, "--target", &url]);
            let code = output.code;
            // Whose target it is stands in one object: without it nothing is known.
            let expected: &[i32] = match (&**object, what) {
                ("ferry-backup.json", _) => &[0, 5, 9, 11],
                (_, "deleted") => &[5, 11],
                _ => &[11],
            };
            assert!(
                code.is_some_and(|code| expected.contains(&code)),
                "{object} {what}: {code:?} {}",
                output.stderr
            );
            if code != Some(0) {
                assert_ne!(ferry.run(&restore).code, Some(0), "{object} {what}");
                assert!(!to.exists(), "{object} {what}: nothing is restored");
                assert!(!to.with_extension("part").exists());
            } else {
                ferry.ok(&restore);
                fs::remove_dir_all(&to).unwrap();
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    ferry.ok(&["backup", "verify", &id, "--target", &url]);
    ferry.ok(&restore);
}

// Verifies: OPR-10
#[test]
fn what_a_damaged_pack_held_is_stored_anew() {
    let backed = Backed::new();
    backed.write(0);
    let (id, _) = backed.back_up();
    for object in objects(backed.target.path()).iter().filter(|path| path.starts_with("packs/")) {
        let path = backed.target.path().join(object);
        let length = fs::metadata(&path).unwrap().len();
        fs::write(&path, vec![7; usize::try_from(length).unwrap()]).unwrap();
    }
    let refused = backed.operator().fails(11, &["backup", "verify", &id]);
    assert!(refused.contains("packs/"), "{refused}");
    // Nothing goes while nobody knows what is needed.
    let refused = backed.operator().fails(11, &["backup", "prune"]);
    assert!(refused.contains("nothing is removed"), "{refused}");
    let (healed, _) = backed.back_up();
    backed.operator().ok(&["backup", "verify", &healed]);
}

// Prune kept the newest one, whose pack had a wrong byte, and removed those that restored.
// Verifies: OPR-09, OPR-10
#[test]
fn a_damaged_backup_takes_the_place_of_none_that_restores() {
    let backed = Backed::with(|options| options.arg("--backup-keep=last=1"));
    let packs = || objects(backed.target.path()).into_iter().filter(|path| path.starts_with("packs/"));
    let listed = || backed.operator().ok(&["backup", "list"]);
    backed.write(0);
    let (old, _) = backed.back_up();
    backed.operator().ok(&["backup", "verify", &old]);
    let before: Vec<String> = packs().collect();
    backed.write(1);
    let (damaged, _) = backed.back_up();
    for object in packs().filter(|path| !before.contains(path)) {
        let path = backed.target.path().join(object);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    // Nobody knows of it yet; and then somebody does.
    for code in [0, 12] {
        let _ = backed.operator().run(&["backup", "prune"]);
        let _ = backed.operator().run(&["backup", "prune", "--target", &backed.url(), "--keep", "last=1"]);
        assert!(listed().contains(&old), "{}", listed());
        assert_eq!(backed.operator().run(&["backup", "schedule"]).code, Some(code));
        backed.operator().fails(11, &["backup", "verify"]);
    }
    for list in [listed(), backed.operator().ok(&["backup", "list", "--target", &backed.url()])] {
        let row = list.lines().find(|line| line.contains(&damaged)).unwrap();
        assert!(row.contains("damaged"), "{list}");
    }
    let backed = backed.restarted_with(|options| options);
    let told = backed.operator().fails(12, &["backup", "schedule"]);
    assert!(told.contains("damaged"), "{told}");
    backed.write(2);
    let (new, _) = backed.back_up();
    backed.operator().ok(&["backup", "schedule"]);
    backed.operator().ok(&["backup", "prune"]);
    let list = backed.operator().ok(&["backup", "list"]);
    assert!(list.contains(&old) && list.contains(&new) && !list.contains(&damaged), "{list}");
    backed.operator().ok(&["backup", "verify"]);
    backed.operator().ok(&["backup", "prune"]);
    let list = backed.operator().ok(&["backup", "list"]);
    assert!(list.contains(&new) && !list.contains(&old), "{list}");
    let verdicts = objects(backed.target.path()).into_iter().filter(|path| path.starts_with("verified/"));
    assert_eq!(verdicts.count(), 1);
}
