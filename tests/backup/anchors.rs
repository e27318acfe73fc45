//! Whose a target is: a copy of a hub and its original do not hide each other, and a hub that was put back to an older state in a
//! way that none of its files shows finds it there (OPR-12, OPR-31; acceptance scenarios 11 and 12).

use std::{fs, path::Path};

use ferry_testkit::{Hub, http, wait};
use serde_json::{Value, json};

use super::{
    Backed,
    continuous::status,
    lineage::{
        Known, WrittenOn, actions, assert_nothing_told, assert_told, beside, copy, lineage_check, metric,
        shown,
    },
    operator, settings,
    taken_back::taken_by_a_copy,
};
use crate::support::{options, put_back};

fn backup_check(hub: &Hub) -> Value {
    let ready = http::get(hub.address(), "/readyz").unwrap();
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")), "{}", ready.text());
    ready.json()["checks"]["backup"].clone()
}

fn anchor(target: &Path) -> Value {
    serde_json::from_slice(&fs::read(target.join("anchor.json")).unwrap()).unwrap()
}

/// What `backup create` says of a target that another hub has.
#[track_caller]
fn must_be_taken(hub: &Hub) {
    let refused = operator(hub).fails(6, &["backup", "create"]);
    for named in ["another hub ships", "schedule resume --take-over", "another target"] {
        assert!(refused.contains(named), "{named}: {refused}");
    }
    let told = operator(hub).run(&["backup", "schedule"]);
    assert_eq!(told.code, Some(12), "{}", told.stderr);
    assert!(told.stdout.contains("\ttaken\t") && told.stdout.contains("--take-over"), "{}", told.stdout);
    assert_eq!(backup_check(hub), "taken");
    assert_eq!(metric(hub, "ferry_backup_target_ok{target=\"1\"}"), 0.0);
}

// Verifies: OPR-12, OPR-31
#[test]
fn an_anchor_that_was_written_though_the_answer_was_lost_is_this_hubs() {
    let mut backed = Backed::new();
    backed.write(0);
    backed.back_up();
    let (known, before) = (Known::of(&backed), anchor(backed.target.path()));
    backed = backed.restarted_with(|options| options.fault("backup.object.replaced=full"));
    backed.write(1);
    for _ in 0..3 {
        assert_ne!(backed.operator().run(&["backup", "create"]).code, Some(0));
        assert_ne!(anchor(backed.target.path())["run"], before["run"], "it was written");
        assert_nothing_told(&backed, &known);
    }
}

// Verifies: OPR-12, OPR-31
#[test]
fn a_copy_that_ships_to_the_target_of_its_original_stops_it_loudly() {
    let mut backed = Backed::new();
    backed.write(0);
    let copied = beside(&backed, "copied");
    backed.records.place.hub.stop();
    copy(&backed.records.place.hub.data_dir(), &copied);
    backed = backed.restarted_with(|options| options);
    backed.back_up();
    let known = Known::of(&backed);
    let original = anchor(backed.target.path());
    assert_eq!(
        shown(&backed.records.place.hub.data_dir(), "run")[0].split('\t').next(),
        original["run"].as_str()
    );
    // Its operator thinks that the hub was moved. The target knows of a run that the copy lacks.
    let moved = || settings(options(), backed.target.path()).arg("--on-copied=moved").data_dir(&copied);
    let mut other = moved().start();
    assert!(other.log().contains("has last written to a backup target"), "{}", other.log());
    assert_eq!(lineage_check(&other), "restored");
    operator(&other).ok(&["backup", "create"]);
    assert_ne!(anchor(backed.target.path())["run"], original["run"]);
    assert_eq!(backup_check(&other), "ok");
    must_be_taken(&backed.records.place.hub);
    assert!(backed.records.place.hub.log().contains("another hub ships"));
    // Nothing is removed there either, and it is not forgotten, nor taken for a restore of the original.
    operator(&backed.records.place.hub).fails(6, &["backup", "prune"]);
    backed.records.place.hub.stop();
    backed = backed.restarted_with(|options| options);
    must_be_taken(&backed.records.place.hub);
    assert_eq!(lineage_check(&backed.records.place.hub), Value::Null);
    assert_eq!(known.told(&backed), [false; 3]);
    // The operator has it go on: now the copy is the one that stops.
    let ferry = backed.operator();
    let still = ferry.fails(12, &["backup", "schedule", "resume"]);
    assert!(still.contains("taken"), "{still}");
    let _ = ferry.run(&["backup", "schedule", "resume", "--take-over"]);
    wait::until("the target to be the original's", || {
        (ferry.run(&["backup", "schedule"]).code == Some(0)).then_some(())
    });
    assert_eq!(actions(&backed.records.place.hub, "backup.resume").len(), 1);
    must_be_taken(&other);
    assert_eq!(backup_check(&backed.records.place.hub), "ok");
    other.stop();
    backed.records.place.hub.stop();
    backed = backed.restarted_with(|options| options);
    backed.back_up();
    assert_eq!(known.told(&backed), [false; 3]);
}

// Verifies: OPR-12
#[test]
fn what_changes_is_shipped_by_one_of_two_hubs_alone() {
    let (backed, other) = taken_by_a_copy();
    backed.write(1);
    wait::until("what changed to wait", || {
        status(&backed)["spoolBytes"].as_str().is_some_and(|bytes| bytes != "0").then_some(())
    });
    drop(other);
    // What waits is named after its run.
    let spool = backed.records.place.hub.data_dir().join("backup").join("log");
    let waiting = fs::read_dir(spool).unwrap().next().unwrap().unwrap().file_name();
    let own = format!("log/{}/", waiting.to_str().unwrap().split('-').next().unwrap());
    let shipped: Vec<String> =
        super::objects(backed.target.path()).into_iter().filter(|path| path.starts_with(&own)).collect();
    let newest = shipped.iter().max();
    let waits = waiting.to_str().unwrap().split('-').nth(1).unwrap();
    assert!(newest.is_none_or(|newest| &newest[own.len()..][..10] < waits), "{newest:?}, {waits} waits");
}

// The whole folder, its file `lineage` included, as it was: when a volume is rolled back no file shows it.
// Verifies: OPR-31
#[test]
fn a_volume_that_was_rolled_back_is_noticed_by_its_target() {
    let WrittenOn { mut backed, data, older, .. } = WrittenOn::new();
    backed.back_up();
    let known = Known::of(&backed);
    backed.records.place.hub.stop();
    put_back(&older, &data);
    assert_eq!(shown(&data, "verdict"), ["same\t"], "nothing in it shows it");
    backed = backed.restarted_with(|options| options);
    assert_told(&backed, &known);
    assert!(shown(&data, "break")[0].contains("backup target"), "{:?}", shown(&data, "break"));
    // Once; and the target is this hub's.
    backed.back_up();
    backed.records.place.hub.stop();
    backed = backed.restarted_with(|options| options);
    assert_eq!(lineage_check(&backed.records.place.hub), Value::Null);
}

// Of the same run: by the commits of control.db.
// Verifies: OPR-31
#[test]
fn a_volume_that_was_rolled_back_within_a_run_is_noticed_by_its_target() {
    let mut backed = Backed::new();
    backed.write(0);
    let (data, older) = (backed.records.place.hub.data_dir(), beside(&backed, "older"));
    copy(&data, &older);
    backed.write(1);
    for name in ["one", "two", "three"] {
        backed.records.place.user.create_database(name);
    }
    backed.back_up();
    let known = Known::of(&backed);
    backed.records.place.hub.kill();
    put_back(&older, &data);
    backed = backed.restarted_with(|options| options);
    assert_told(&backed, &known);
    assert!(shown(&data, "break")[0].contains("backup target"), "{:?}", shown(&data, "break"));
}

// Verifies: OPR-31, OPR-33
#[test]
fn a_target_that_answers_late_is_judged_then() {
    let WrittenOn { mut backed, data, older, .. } = WrittenOn::new();
    backed.back_up();
    let known = Known::of(&backed);
    backed.records.place.hub.stop();
    put_back(&older, &data);
    // Its disk is not mounted when the hub starts, and its clients come before it is.
    let away = backed.target.path().with_extension("away");
    fs::rename(backed.target.path(), &away).unwrap();
    backed = backed.restarted_with(|options| options);
    assert_eq!(lineage_check(&backed.records.place.hub), Value::Null);
    let early = Known::of(&backed);
    fs::rename(&away, backed.target.path()).unwrap();
    backed.back_up();
    assert_eq!(lineage_check(&backed.records.place.hub), "restored");
    assert_eq!((known.told(&backed), early.told(&backed)), ([true; 3], [true; 3]));
    let breaks = shown(&data, "break");
    assert!(breaks.len() == 1 && breaks[0].contains("backup target"), "{breaks:?}");
    // Once.
    backed.records.place.hub.stop();
    backed = backed.restarted_with(|options| options);
    assert_eq!(lineage_check(&backed.records.place.hub), Value::Null);
    assert_eq!(shown(&data, "break").len(), 1);
}

// Verifies: OPR-12
#[test]
fn restarts_kills_and_moves_leave_a_target_to_its_hub() {
    let mut backed = Backed::new();
    backed.write(0);
    backed.back_up();
    let known = Known::of(&backed);
    for n in 0..3 {
        if n == 1 {
            backed.records.place.hub.stop();
        }
        backed = backed.restarted_with(|options| options);
        backed.back_up();
        assert_nothing_told(&backed, &known);
    }
    // One that is damaged keeps backups back until somebody looks at it.
    fs::write(backed.target.path().join("anchor.json"), "{").unwrap();
    let told = backed.operator().fails(11, &["backup", "create"]);
    assert!(told.contains("anchor.json") && told.contains("delete it"), "{told}");
    fs::remove_file(backed.target.path().join("anchor.json")).unwrap();
    backed.back_up();
}

// Verifies: OPR-06
#[test]
fn backups_that_are_paused_go_on_when_they_are_resumed() {
    let mut backed = Backed::with(|options| options.arg("--backup-lag-seconds=1"));
    backed.write(0);
    let listed = |backed: &Backed| backed.operator().ok(&["backup", "list"]).lines().count();
    let state = |backed: &Backed| {
        let told = backed.operator().run(&["backup", "schedule"]);
        (told.stdout.split('\t').nth(1).unwrap().to_owned(), told.code)
    };
    wait::until("all is shipped", || (state(&backed).0 == "ok").then_some(()));
    let shown = backed.operator().ok(&["backup", "schedule", "pause"]);
    assert!(shown.contains("\tpaused\t") && shown.contains("schedule resume"), "{shown}");
    assert_eq!(state(&backed), ("paused".to_owned(), Some(12)));
    assert_eq!(backup_check(&backed.records.place.hub), "paused");
    let logs = |backed: &Backed| {
        super::objects(backed.target.path()).iter().filter(|path| path.starts_with("log/")).count()
    };
    let (before, snapshots) = (logs(&backed), listed(&backed));
    backed.write(1);
    // It stays so, also where a start would take a backup by itself.
    backed.records.place.hub.stop();
    backed = backed.restarted_with(|options| options);
    backed.write(2);
    assert_eq!(state(&backed), ("paused".to_owned(), Some(12)));
    assert_eq!((logs(&backed), listed(&backed)), (before, snapshots));
    // Whoever asks is given one.
    backed.back_up();
    let _ = backed.operator().run(&["backup", "schedule", "resume"]);
    wait::until("all is shipped again", || (state(&backed) == ("ok".to_owned(), Some(0))).then_some(()));
    backed.operator().ok(&["backup", "schedule", "resume"]);
    let hub = &backed.records.place.hub;
    assert_eq!((actions(hub, "backup.pause").len(), actions(hub, "backup.resume").len()), (1, 1));
    assert_eq!(backup_check(hub), "ok");
}
