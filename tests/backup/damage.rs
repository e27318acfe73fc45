//! Targets whose objects are missing, changed or swapped: what is wrong is named, and nothing is restored from it.

use std::fs;

use super::{Backed, objects, settings};
use crate::support::options;

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

// An operator whose newest backup was cut off got the state of the day before, without a word.
// Verifies: OPR-10, OPR-20, OPR-24
#[test]
fn no_older_backup_is_taken_in_place_of_a_damaged_one_unless_it_is_named() {
    let mut backed = Backed::new();
    backed.write(0);
    let (old, _) = backed.back_up();
    backed.write(1);
    let (newest, _) = backed.back_up();
    let object = format!("snapshots/{newest}.json");
    let path = backed.target.path().join(&object);
    let manifest = fs::read(&path).unwrap();
    fs::write(&path, &manifest[..manifest.len() / 2]).unwrap();
    let (ferry, url) = (backed.operator(), backed.url());
    let database = backed.records.place.database.clone();
    let (to, out) = (ferry.file("restored"), ferry.file("one.db"));
    let (to, out) = (to.to_str().unwrap(), out.to_str().unwrap());
    let whole = ["backup", "restore", "--target", &url, "--to", to];
    let one = ["backup", "restore", "--target", &url, "--database", &database, "--out", out];
    let instead = ["backup", "restore", "--database", &database, "--as", "again"];
    let of_all: [&[&str]; 5] =
        [&["backup", "verify"], &["backup", "verify", "--target", &url], &whole, &one, &instead];
    for arguments in of_all {
        let told = ferry.fails(11, arguments);
        assert!(told.contains(&object) && told.contains(&old), "{arguments:?}: {told}");
    }
    assert!(fs::metadata(to).is_err() && fs::metadata(out).is_err(), "nothing is restored");
    // The lists name it, and so does the state.
    for arguments in [&["backup", "list"][..], &["backup", "list", "--target", &url]] {
        let listed = ferry.run(arguments);
        assert!(
            listed.stdout.lines().any(|row| row.contains(&newest) && row.contains("damaged")),
            "{listed:?}"
        );
        assert!(listed.stderr.contains(&format!("{newest} in {url} is damaged")), "{listed:?}");
    }
    let told = ferry.fails(12, &["backup", "schedule"]);
    assert!(told.contains("damaged"), "{told}");
    // Nor does an empty disk get it.
    backed.records.place.hub.stop();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let begin =
        || settings(options(), backed.target.path()).arg("--backup-restore-if-empty=true").data_dir(&data);
    let refused = begin().try_start().map(drop).unwrap_err();
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    for named in [&*object, &old, &url] {
        assert!(refused.output.contains(named), "{named}: {}", refused.output);
    }
    // Whoever names it has it, and whoever mends the newest has that.
    ferry.ok(&["backup", "restore", &old, "--target", &url, "--to", to]);
    ferry.ok(&["backup", "restore", &old, "--target", &url, "--database", &database, "--out", out]);
    fs::write(&path, &manifest).unwrap();
    assert!(begin().start().log().contains(&newest));
}

// Verifies: OPR-10, OPR-20
#[test]
fn what_was_found_damaged_without_the_hub_is_stored_anew_by_its_next_backup() {
    let backed = Backed::new();
    backed.write(0);
    let (first, _) = backed.back_up();
    let (ferry, url) = (backed.operator(), backed.url());
    // One of them: what only a damaged one leads to is found when that is stored anew.
    let pack = objects(backed.target.path()).into_iter().find(|path| path.starts_with("packs/")).unwrap();
    let path = backed.target.path().join(pack);
    let mut bytes = fs::read(&path).unwrap();
    bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(&path, bytes).unwrap();
    ferry.ok(&["backup", "schedule"]);
    ferry.fails(11, &["backup", "verify", "--target", &url]);
    let told = ferry.fails(12, &["backup", "schedule"]);
    assert!(told.contains("damaged"), "{told}");
    // Nothing else has told the hub.
    let (second, _) = backed.back_up();
    assert_ne!(first, second);
    ferry.ok(&["backup", "verify", "--target", &url]);
    ferry.ok(&["backup", "schedule"]);
}

// Verifies: OPR-10
#[test]
fn a_target_that_lacks_only_the_object_that_says_whose_it_is_tells_what_is_missing() {
    let backed = Backed::new();
    backed.write(0);
    backed.back_up();
    fs::remove_file(backed.target.path().join("ferry-backup.json")).unwrap();
    let told = backed.operator().fails(11, &["backup", "list", "--target", &backed.url()]);
    for named in ["ferry-backup.json", "1 snapshots", "put it back", "hub_id"] {
        assert!(told.contains(named), "{named}: {told}");
    }
}
