//! Hubs and restores that are killed at every step.

use std::fs;

use super::Backed;
use crate::support::fault_points;

// Verifies: OPR-01, OPR-09
#[test]
fn a_hub_that_is_killed_in_any_step_of_a_backup_loses_none() {
    let points = fault_points("backup.");
    assert!(points.len() > 4, "{points:?}");
    let mut backed = Backed::with(|options| options.arg("--backup-keep=last=1"));
    backed.write(0);
    backed.back_up();
    backed.back_up();
    // Whatever is written to a target passes `backup.object`, the anchor too: a hub may be killed there before it is up.
    let is_of_a_step = |point: &&String| *point != "backup.written" && !point.starts_with("backup.object.");
    for (n, point) in (1_u64..).zip(points.iter().filter(is_of_a_step)) {
        backed.write(n);
        // A day ahead, so that garbage goes.
        backed = backed.restarted_with(|options| options.fault(format!("{point}=kill,clock=90000000")));
        for command in [["backup", "create"], ["backup", "prune"]] {
            // Whoever waits for it is told that the hub has gone.
            let _ = backed.operator().run(&command);
        }
        backed = backed.restarted_with(|options| options);
        let listed = backed.operator().ok(&["backup", "list"]);
        assert!(listed.lines().count() >= 1, "{point}: {listed}");
        for line in listed.lines() {
            let id = line.split('\t').next().unwrap();
            backed.operator().ok(&["backup", "verify", id]);
        }
        let (id, _) = backed.back_up();
        let verified = backed.operator().ok(&["backup", "verify", &id, "--target", &backed.url()]);
        assert!(verified.lines().all(|line| line.starts_with("ok\t")), "{point}: {verified}");
    }
}

// They lay there until the next prune, a day old.
// Verifies: OPR-01
#[test]
fn what_a_killed_backup_left_is_removed_by_the_next_one() {
    let backed = Backed::new();
    backed.write(0);
    backed.back_up();
    let folder = backed.target.path().join("tmp");
    fs::create_dir_all(&folder).unwrap();
    let left = |name: &str, age_seconds: u64| {
        let file = fs::File::create(folder.join(name)).unwrap();
        let now = file.metadata().unwrap().modified().unwrap();
        file.set_modified(now - std::time::Duration::from_secs(age_seconds)).unwrap();
    };
    left("1-0", 2 * 60 * 60);
    // Somebody may still write it.
    left("1-1", 60);
    backed.write(1);
    backed.back_up();
    assert_eq!(ferry_testkit::command::names(&folder), ["1-1"]);
}

// Verifies: OPR-20
#[test]
fn a_restore_that_is_killed_leaves_no_folder() {
    let backed = Backed::new();
    backed.write(0);
    let (id, _) = backed.back_up();
    let (ferry, url) = (backed.operator(), backed.url());
    let to = ferry.file("restored");
    let restore = ["backup", "restore", &id, "--target", &url, "--to", to.to_str().unwrap()];
    for point in ["restore.database", "restore.stamped", "restore.publish"] {
        let killed = ferry.clone().env("FERRY_FAULT", &format!("{point}=kill")).run(&restore);
        assert_ne!(killed.code, Some(0), "{point}");
        assert!(!to.exists(), "{point}");
    }
    // What it left is its own to remove, and a folder of somebody else's is not.
    ferry.ok(&restore);
    assert!(to.join("control.db").exists());
    assert_eq!(ferry_testkit::command::names(to.parent().unwrap()), ["restored"]);
    let before = fs::read(to.join("control.db")).unwrap();
    let refused = ferry.fails(6, &restore);
    assert!(refused.contains("not empty"), "{refused}");
    assert_eq!(fs::read(to.join("control.db")).unwrap(), before);
    let leftovers: Vec<_> = ferry_testkit::hub::listing(&to);
    assert!(
        leftovers.iter().all(|(name, _)| !name.ends_with("-wal") && !name.ends_with("-shm")),
        "{leftovers:?}"
    );
}
