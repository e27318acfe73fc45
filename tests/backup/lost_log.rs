//! What of the log was on a target and is not any more is missed: by whoever verifies, restores or lists there, and by the hub that
//! runs. And a hub that is told to stop leaves nothing behind that it could have shipped.

use std::{fs, path::Path, time::Duration};

use ferry_testkit::{dump, http, wait};
use serde_json::json;

use super::{
    Backed,
    continuous::{
        assert_restores, at, caught_up, continuous, database_at, log_objects, main_of, ranges, status,
    },
    settings,
};
use crate::{
    records::{Records, insert},
    support::{Place, options},
};

/// The interval that an object is of, as messages name it.
fn interval_of(object: &str) -> String {
    object.split('.').next().unwrap().to_owned()
}

/// The objects with pages, without the marks beside them.
fn intervals(backed: &Backed) -> Vec<String> {
    let is_interval = |object: &String| !object.contains(".head.") && !object.ends_with(".pruned");
    log_objects(backed).into_iter().filter(is_interval).collect()
}

/// What a restore of the whole hub says that is refused.
fn refused(backed: &Backed, code: i32, moment: &str) -> String {
    let (ferry, url) = (backed.operator(), backed.url());
    let to = ferry.file("none");
    let restore = ["backup", "restore", "--target", &url, "--at", moment, "--to", to.to_str().unwrap()];
    let said = ferry.fails(code, &restore);
    assert!(!to.exists());
    said
}

// Verifies: OPR-09, OPR-10, OPR-21
#[test]
fn an_interval_that_was_deleted_is_named_wherever_something_would_need_it() {
    let mut backed = continuous(|options| options);
    let mut recorded = Vec::new();
    for n in 1..5 {
        backed.write(n);
        caught_up(&backed);
        recorded.push((ranges(&backed)[0].1, dump::dump(&main_of(&backed)), intervals(&backed)));
    }
    // It ends in order: what the end of its log is stands on the target.
    assert!(backed.records.place.hub.stop().success());
    let url = backed.url();
    let oldest = backed.operator().ok(&["backup", "list", "--target", &url]);
    let oldest = oldest.lines().next().unwrap().split('\t').next().unwrap().to_owned();
    let all = intervals(&backed);
    let newest = dump::dump(&database_at(&backed, &backed.records.place.database, "latest"));
    for (object, before, behind) in [
        // In the middle, and the last of all.
        (recorded[1].2.last().unwrap(), recorded[0].0, at(recorded[2].0)),
        (all.last().unwrap(), recorded[2].0, "2199-01-01T00:00:00Z".to_owned()),
    ] {
        let path = backed.target.path().join(object);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let (named, end) = (interval_of(object), ranges(&backed).last().unwrap().1);
        assert!(end >= before, "{object}");
        for moment in [&*behind, "latest"] {
            let said = refused(&backed, 11, moment);
            assert!(said.contains(&named) && said.contains(&at(end)), "{object}: {said}");
        }
        for how in [&[][..], &["--quick"]] {
            let verify = [&["backup", "verify", "--target", &*url], how].concat();
            let said = backed.operator().fails(11, &verify);
            let database = &backed.records.place.database;
            // The last one may have what a stop noted in control.db alone.
            let names_it = said.contains(database.as_str()) || said.contains("control");
            assert!(said.contains(&named) && names_it, "{object}: {said}");
        }
        assert_restores(&backed, &at(recorded[0].0), &recorded[0].1);
        // Cut off it is named, too.
        fs::write(&path, &good[..good.len() / 2]).unwrap();
        let said = backed.operator().fails(11, &["backup", "verify", "--target", &url]);
        assert!(said.contains(object.as_str()), "{said}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, &good).unwrap();
        assert_restores(&backed, "latest", &newest);
    }
    // A new backup begins another range; what lies between the two stays lost.
    fs::remove_file(backed.target.path().join(all.last().unwrap())).unwrap();
    let end = ranges(&backed)[0].1;
    let backed = backed.restarted_with(|options| options);
    backed.write(5);
    caught_up(&backed);
    let found = ranges(&backed);
    assert!(found.len() == 2 && found[0].1 == end && found[1].0 > end, "{found:?}");
    assert_restores(&backed, "latest", &dump::dump(&main_of(&backed)));
    let verified = backed.operator().ok(&["backup", "verify"]);
    assert!(verified.lines().all(|line| line.starts_with("ok\t")), "{verified}");
    let said = backed.operator().fails(11, &["backup", "verify", &oldest]);
    assert!(said.contains(&interval_of(all.last().unwrap())), "{said}");
    assert!(refused(&backed, 11, &at(end + 1)).contains(&interval_of(all.last().unwrap())));
}

// Verifies: OPR-07, OPR-09
#[test]
fn a_hub_that_runs_notices_that_its_log_was_cut_and_takes_a_backup() {
    let held = tempfile::tempdir().unwrap();
    let held = held.path().join("held");
    let plan = format!("backup.index=wait:{}", held.display());
    let target = tempfile::tempdir().unwrap();
    let hub = settings(options(), target.path()).arg("--backup-lag-seconds=1").fault(plan).start();
    let records = Records::at(Place::of(hub));
    let token = super::token(&records.place);
    let backed = Backed { records, token, target };
    let let_go = || {
        wait::until("a backup is nearly done", || held.exists().then_some(()));
        fs::remove_file(&held).unwrap();
    };
    let_go();
    backed.write(0);
    caught_up(&backed);
    backed.write(1);
    caught_up(&backed);
    let (end, before) = (ranges(&backed)[0].1, dump::dump(&main_of(&backed)));
    for (n, cut) in [(2, false), (4, true)] {
        let earlier = intervals(&backed);
        backed.write(n);
        caught_up(&backed);
        backed.write(n + 1);
        caught_up(&backed);
        let all = intervals(&backed);
        let first = all.iter().find(|object| !earlier.contains(object)).unwrap();
        let path = backed.target.path().join(first);
        if cut {
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        wait::until("it is noticed", || held.exists().then_some(()));
        assert_eq!(status(&backed)["state"], "gap");
        let ready = http::get(backed.records.address(), "/readyz").unwrap();
        assert_eq!((ready.status, &ready.json()["checks"]["backup"]), (200, &json!("gap")));
        let metrics = http::get(backed.records.address(), "/metrics").unwrap().text();
        assert!(metrics.contains("reason=\"LOG_LOST\""), "{metrics}");
        assert!(backed.records.place.hub.log().contains(&interval_of(first)), "{first}");
        let_go();
        caught_up(&backed);
        assert_restores(&backed, "latest", &dump::dump(&main_of(&backed)));
        assert_restores(&backed, &at(end), &before);
    }
    assert!(ranges(&backed).len() >= 2, "{:?}", ranges(&backed));
}

fn ships_late() -> Backed {
    let backed = Backed::with(|options| options.arg("--backup-lag-seconds=600"));
    wait::until("the first backup is there", || {
        (status(&backed)["state"] == "ok" && !ranges(&backed).is_empty()).then_some(())
    });
    backed
}

// Verifies: OPR-05
#[test]
fn a_hub_that_is_told_to_stop_ships_what_it_has_acknowledged() {
    let mut backed = ships_late();
    backed.write(0);
    backed.records.push("maker", "", &json!([insert("tasks", "last", "x")]));
    assert_eq!(intervals(&backed), Vec::<String>::new());
    assert!(backed.records.place.hub.stop().success());
    assert_restores(&backed, "latest", &dump::dump(&main_of(&backed)));
    let verified = backed.operator().ok(&["backup", "verify", "--target", &backed.url()]);
    assert!(verified.lines().all(|line| line.starts_with("ok\t")), "{verified}");
}

// Verifies: OPR-05, OPR-07
#[test]
fn a_target_that_is_down_does_not_hold_a_stop() {
    let mut backed = ships_late();
    backed.write(0);
    let away = backed.target.path().with_extension("away");
    fs::rename(backed.target.path(), &away).unwrap();
    fs::write(backed.target.path(), b"in the way").unwrap();
    backed.records.place.hub.begin_stop();
    let ended = wait::within(Duration::from_secs(20), || {
        let is_over = !Path::new(&format!("/proc/{}/fd/0", backed.records.place.hub.pid())).exists();
        is_over.then_some(())
    });
    assert!(ended.is_some(), "it still runs");
    assert!(backed.records.place.hub.ended().success());
    let log = backed.records.place.hub.log();
    assert!(log.contains("the last interval was not shipped"), "{log}");
    fs::remove_file(backed.target.path()).unwrap();
    fs::rename(&away, backed.target.path()).unwrap();
}

// Moments went by the hub's clock: after one that was set back the newest state had the older moment, and `latest` was the
// older state.
// Verifies: OPR-05, OPR-20
#[test]
fn the_latest_is_the_newest_state_whatever_the_clock_did() {
    const HOUR_MS: i64 = 3_600_000;
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("ahead-ms");
    let set = |ahead_ms: i64| fs::write(&clock, ahead_ms.to_string()).unwrap();
    set(HOUR_MS);
    let plan = format!("clock=file:{}", clock.display());
    let mut backed = Backed::with(|options| options.arg("--backup-lag-seconds=1").fault(plan.clone()));
    let mut moments = Vec::new();
    for (n, ahead_ms, is_killed) in
        [(0, HOUR_MS, false), (1, 0, false), (2, -HOUR_MS, true), (3, -2 * HOUR_MS, false)]
    {
        if is_killed {
            backed.records.place.hub.kill();
        }
        set(ahead_ms);
        if is_killed {
            backed = backed.restarted_with(|options| options);
        }
        backed.records.push("maker", "", &json!([insert("tasks", &format!("t{n}"), "x")]));
        caught_up(&backed);
        let newest = dump::dump(&main_of(&backed));
        assert_restores(&backed, "latest", &newest);
        let end = ranges(&backed).last().unwrap().1;
        assert_restores(&backed, &at(end), &newest);
        moments.push(end);
        // Alone, and as one that no log follows.
        if n == 3 {
            backed.operator().ok(&["backup", "create"]);
            assert_restores(&backed, "latest", &newest);
        }
    }
    assert!(moments.is_sorted(), "{moments:?}");
}

// Verifies: OPR-09, OPR-10
#[test]
fn what_was_shipped_is_merged_as_it_gets_older_and_restores_as_before() {
    const HOUR_MS: i64 = 3_600_000;
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("ahead-ms");
    let set = |ahead_ms: i64| fs::write(&clock, ahead_ms.to_string()).unwrap();
    set(0);
    let plan = format!("clock=file:{}", clock.display());
    let mut backed = Backed::with(|options| options.arg("--backup-lag-seconds=1").fault(plan.clone()));
    backed.write(0);
    caught_up(&backed);
    for n in 1..7 {
        backed.write(n);
        caught_up(&backed);
    }
    assert!(backed.records.place.hub.stop().success());
    let before = (ranges(&backed)[0], dump::dump(&main_of(&backed)), intervals(&backed).len());
    let newest = |backed: &Backed| (at(ranges(backed).last().unwrap().1), dump::dump(&main_of(backed)));
    // In whichever step it is killed.
    let mut n = 7;
    for (hours, point) in [(3, "backup.merge.part"), (6, "backup.merge.object"), (9, "backup.merge.written")]
    {
        set(0);
        backed =
            backed.restarted_with(|options| options.without_faults().fault(format!("{point}=kill,{plan}")));
        wait::until("it runs", || (status(&backed)["state"] == "ok").then_some(()));
        for _ in 0..3 {
            backed.write(n);
            n += 1;
            caught_up(&backed);
        }
        // Later each time: the hub may have shipped something before it was killed, and moments never decrease.
        set(hours * HOUR_MS);
        // It ends before it can answer.
        let pruned = backed.operator().run(&["backup", "prune"]);
        assert!(!pruned.stderr.is_empty(), "{point}");
        assert!(!backed.records.place.hub.ended().success(), "{point}");
        assert_restores(&backed, &at(before.0.1), &before.1);
        let verified = backed.operator().ok(&["backup", "verify", "--target", &backed.url()]);
        assert!(verified.lines().all(|line| line.starts_with("ok\t")), "{point}: {verified}");
        assert!(ranges(&backed).contains(&before.0), "{point}: {:?}", ranges(&backed));
    }
    backed = backed.restarted_with(|options| options.without_faults().fault(plan.clone()));
    caught_up(&backed);
    backed.operator().ok(&["backup", "prune"]);
    let merged = intervals(&backed);
    assert!(
        merged.iter().any(|object| object.split('.').next().unwrap().matches('-').count() == 1),
        "{merged:?}"
    );
    assert!(merged.len() < before.2, "{merged:?}");
    // Both ends of what was there restore, and the newest; inside of a minute the end of the one before is reached, and told.
    assert_restores(&backed, &at(before.0.1), &before.1);
    let (latest, now) = newest(&backed);
    assert_restores(&backed, &latest, &now);
    assert_restores(&backed, "latest", &now);
    let (ferry, url) = (backed.operator(), backed.url());
    let to = ferry.file("inside");
    let inside = at(before.0.1 - 1);
    let told =
        ferry.run(&["backup", "restore", "--target", &url, "--at", &inside, "--to", to.to_str().unwrap()]);
    assert!(told.stderr.contains("# the newest that lies there before that moment is of"), "{}", told.stderr);
    for listed in backed.operator().ok(&["backup", "list", "--target", &url]).lines() {
        let id = listed.split('\t').next().unwrap();
        if id != "range" {
            let verified = backed.operator().ok(&["backup", "verify", id, "--target", &url]);
            assert!(verified.lines().all(|line| line.starts_with("ok\t")), "{id}: {verified}");
        }
    }
}

// Verifies: OPR-09, OPR-10, OPR-21
#[test]
fn an_interval_that_is_damaged_is_told_with_what_restores_before_it() {
    let mut backed = continuous(|options| options);
    let mut recorded = Vec::new();
    for n in 1..4 {
        backed.write(n);
        caught_up(&backed);
        recorded.push((ranges(&backed)[0].1, intervals(&backed)));
    }
    assert!(backed.records.place.hub.stop().success());
    let path = backed.target.path().join(recorded[1].1.last().unwrap());
    let good = fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for (what, bytes) in [("cut", &good[..good.len() / 2]), ("flipped", &*flipped), ("emptied", &[])] {
        fs::write(&path, bytes).unwrap();
        let said = refused(&backed, 11, "latest");
        let before = said.split("--at ").nth(1).unwrap_or_else(|| panic!("{what}: {said}"));
        let before = before.split_whitespace().next().unwrap().trim_end_matches(['.', ',', ')']);
        assert!(said.contains("nothing restores") && said.contains("databases"), "{what}: {said}");
        assert!(said.contains(&backed.records.place.database), "{what}: {said}");
        database_at(&backed, &backed.records.place.database, before);
        if what == "emptied" {
            assert!(ranges(&backed)[0].1 <= recorded[1].0, "no range goes over it");
            backed.operator().fails(11, &["backup", "verify", "--target", &backed.url(), "--quick"]);
        }
    }
}
