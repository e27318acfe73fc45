//! Older states that were put back by hand, in every way that leaves a sign (acceptance scenarios 10 and 11): the hub notices, and each
//! client is told once.

use std::{fs, path::Path, process::Command};

use ferry_testkit::command::Ferry;
use serde_json::{Value, json};

use super::{
    Backed,
    lineage::{
        Known, WrittenOn, assert_nothing_told, assert_told, beside, copy, lineage, lineage_check, over,
        shown, steps, wait_until_told,
    },
};
use crate::{
    ops::{hlc, set},
    records::insert,
    support::{FERRY, put_back},
};

/// How an older state is put into the folder `data`, of which `older` is a copy.
type PutBack = fn(older: &Path, data: &Path, database: &str);

fn control_alone(older: &Path, data: &Path, _: &str) {
    for name in ["control.db-wal", "control.db-shm"] {
        let _ = fs::remove_file(data.join(name));
    }
    fs::copy(older.join("control.db"), data.join("control.db")).unwrap();
}

fn all_but_lineage(older: &Path, data: &Path, _: &str) {
    // In place, as what a backup program leaves that was told to.
    let newest = fs::read(data.join("lineage")).unwrap();
    put_back(older, data);
    fs::write(data.join("lineage"), newest).unwrap();
}

pub(super) fn one_database(older: &Path, data: &Path, database: &str) {
    let place = |dir: &Path| dir.join("databases").join(database);
    fs::remove_dir_all(place(data)).unwrap();
    copy(&place(older), &place(data));
}

// Verifies: OPR-31, OPR-33, OPR-35, OPR-37
#[test]
fn each_sign_of_an_older_state_is_noticed_and_told_once() {
    let ways: [(&str, PutBack, &str); 3] = [
        ("only control.db", control_alone, "control.db does not know the run"),
        ("all but the file lineage", all_but_lineage, "control.db does not know the run"),
        ("only one main.db", one_database, "lacks commits that were acknowledged"),
    ];
    for (what, put_back, reason) in ways {
        for ends in ["stopped", "killed"] {
            let WrittenOn { mut backed, data, older, database, known } = WrittenOn::new();
            if ends == "stopped" {
                backed.records.place.hub.stop();
            } else {
                wait_until_told(&backed, &database);
                backed.records.place.hub.kill();
            }
            put_back(&older, &data, &database);
            backed = backed.restarted_with(|options| options);
            assert_eq!(known.told(&backed), [true; 3], "{what}, {ends}");
            assert_told(&backed, &known);
            let breaks = shown(&data, "break");
            assert_eq!(breaks.len(), 1, "{breaks:?}");
            assert!(breaks[0].contains(reason), "{breaks:?}");
            let told = steps(&backed);
            assert_eq!((told.len(), &told[0]["kind"]), (1, &json!("break")), "{told:?}");
            assert!(told[0]["reason"].as_str().unwrap().contains(reason), "{told:?}");
            if told[0]["scope"] == "hub" {
                assert!(told[0]["lostSinceUnixMs"].is_string(), "{told:?}");
            } else {
                let seq = |name: &str| told[0][name].as_str().unwrap().parse::<u64>().unwrap();
                assert_eq!((&told[0]["scope"], &told[0]["databaseName"]), (&json!(database), &json!("app")));
                assert!(seq("leftSeq") < seq("knownSeq"), "{told:?}");
            }
            // All go on from there, and it is not noticed again.
            backed.records.push("maker", "", &json!([insert("tasks", "later", "x")]));
            backed.records.place.hub.stop();
            backed = backed.restarted_with(|options| options);
            assert_eq!(lineage_check(&backed.records.place.hub), Value::Null, "{what}, {ends}");
            let seq = backed.records.place.user.seq(&database);
            assert_eq!((seq / 1_000_000, seq % 1_000_000 < 20), (1, true), "{what}, {ends}: {seq}");
        }
    }
}

// control.db of earlier in the same run: its runs are as they were, and it lacks what the hub wrote down when it stopped.
// Verifies: OPR-31
#[test]
fn a_control_db_of_earlier_in_the_run_is_noticed() {
    let mut backed = Backed::new();
    backed.write(0);
    let (data, older) = (backed.records.place.hub.data_dir(), beside(&backed, "older"));
    copy(&data, &older);
    backed.records.place.user.create_database("another");
    let known = Known::of(&backed);
    backed.records.place.hub.stop();
    for name in ["control.db-wal", "control.db-shm"] {
        let _ = fs::remove_file(data.join(name));
        let _ = fs::copy(older.join(name), data.join(name));
    }
    fs::copy(older.join("control.db"), data.join("control.db")).unwrap();
    backed = backed.restarted_with(|options| options);
    assert_told(&backed, &known);
    assert!(shown(&data, "break")[0].contains("lacks commits"));
}

// What the operator knows and no file does: a volume was rolled back.
// Verifies: OPR-32, OPR-37
#[test]
fn the_operator_may_say_that_a_volume_was_rolled_back() {
    let WrittenOn { mut backed, data, older, known, .. } = WrittenOn::new();
    backed.records.place.hub.stop();
    put_back(&older, &data);
    assert_eq!(shown(&data, "verdict"), ["same\t"], "nothing shows it");
    lineage("restored", &data);
    backed = backed.restarted_with(|options| options);
    assert_told(&backed, &known);
    let told: Value = serde_json::from_str(&Ferry::new(FERRY, "http://127.0.0.1:1").ok(&[
        "admin",
        "lineage",
        "show",
        "--json",
        "--data-dir",
        data.to_str().unwrap(),
    ]))
    .unwrap();
    let broken = &told["breaks"][0];
    assert_eq!((&broken["scope"], &told["verdict"]), (&json!("hub"), &json!("same")), "{told}");
    let (since, at) =
        (broken["lost_since_unix_ms"].as_i64().unwrap(), broken["at_unix_ms"].as_i64().unwrap());
    assert!(since > 0 && since < at, "{told}");
}

// Every file of the folder is then of one time, and the file `lineage` the one that it was: only what the copy lacks shows it.
// Verifies: OPR-31
#[test]
fn an_older_copy_that_is_written_over_the_folder_is_noticed() {
    for taken in ["stopped", "running"] {
        let mut backed = Backed::new();
        backed.write(0);
        let (data, older) = (backed.records.place.hub.data_dir(), beside(&backed, "older"));
        if taken == "stopped" {
            backed.records.place.hub.stop();
            copy(&data, &older);
            backed = backed.restarted_with(|options| options);
        } else {
            // Of the same run: it has ended since.
            copy(&data, &older);
        }
        backed.write(1);
        let known = Known::of(&backed);
        backed.records.place.hub.stop();
        // Without a target: nothing but the folder itself shows it.
        fs::remove_dir_all(backed.target.path()).unwrap();
        fs::create_dir(backed.target.path()).unwrap();
        fs::remove_file(data.join("backup").join("known-targets.json")).unwrap();
        let over = Command::new("cp").arg("-a").arg(older.join(".")).arg(&data).status().unwrap();
        assert!(over.success());
        assert!(shown(&data, "verdict")[0].contains("copied over"), "{taken}: {:?}", shown(&data, "verdict"));
        backed = backed.restarted_with(|options| options);
        assert_told(&backed, &known);
        backed.records.place.hub.stop();
        assert_eq!(shown(&data, "verdict"), ["same\t"], "{taken}: once");
    }
}

// SQLite played the pages of a newer file upon an older one, and what came of it was served, or failed with 500.
// Verifies: OPR-31, PAG-47
#[test]
fn an_older_file_under_the_wal_of_a_newer_one_is_not_served() {
    let mut backed = Backed::new();
    backed.write(0);
    let (data, database) = (backed.records.place.hub.data_dir(), backed.records.place.database.clone());
    let main = data.join("databases").join(&database).join("main.db");
    backed.records.place.hub.stop();
    let old = fs::read(&main).unwrap();
    for n in 1..3 {
        backed = backed.restarted_with(|options| options);
        backed.write(n);
        if n == 1 {
            backed.records.place.hub.stop();
        }
    }
    let known = Known::of(&backed);
    wait_until_told(&backed, &database);
    backed.records.place.hub.kill();
    let wal = main.with_file_name("main.db-wal");
    assert!(wal.metadata().unwrap().len() > 32);
    let newest = fs::read(&main).unwrap();
    fs::write(&main, &old).unwrap();
    backed = backed.restarted_with(|options| options);
    for (method, path) in [
        ("GET", "/v1/databases/-/records/changes?app=todo&since=0"),
        ("GET", "/v1/databases/-/ops"),
        ("POST", "/v1/databases/-/ops"),
    ] {
        let body = json!({"origin": crate::ops::A, "ops": [set("op-a-00009", &hlc(9, 0, crate::ops::A), "n/9", "t", &json!(9), &[])]});
        let refused = backed.call(method, path, &body.to_string());
        assert_eq!(refused.status, 503, "{path}: {}", refused.text());
        let told = refused.text();
        assert!(told.contains("main.db-wal") && told.contains("move") && told.contains("put back"), "{told}");
    }
    assert_eq!(backed.open_store().map(drop).unwrap_err().status, 503);
    let partial = backed.operator().fails(11, &["backup", "create"]);
    assert!(partial.contains(&database) && partial.contains("main.db-wal"), "{partial}");
    let log = backed.records.place.hub.log();
    assert!(log.contains("a database is not served") && log.contains(&database), "{log}");
    assert_eq!(lineage_check(&backed.records.place.hub), "unserved");
    // Nothing was changed: with the file that was there all is as it was.
    backed.records.place.hub.stop();
    assert_eq!(fs::read(&main).unwrap(), old);
    fs::write(&main, &newest).unwrap();
    backed = backed.restarted_with(|options| options);
    assert_nothing_told(&backed, &known);
    backed.write(3);
    let known = Known::of(&backed);
    wait_until_told(&backed, &database);
    // Or on from the older one, of which clients are told.
    backed.records.place.hub.kill();
    fs::write(&main, &old).unwrap();
    for name in ["main.db-wal", "main.db-shm"] {
        fs::rename(main.with_file_name(name), data.with_file_name(name)).unwrap();
    }
    backed = backed.restarted_with(|options| options);
    assert_told(&backed, &known);
}

// Verifies: OPR-88, OPR-31
#[test]
fn doctor_tells_what_the_next_start_finds() {
    let mut backed = Backed::new();
    backed.write(0);
    let (data, copied) = (backed.records.place.hub.data_dir(), beside(&backed, "copied"));
    let doctor = |data: &Path, arguments: &[&str]| {
        let data = data.to_str().unwrap();
        let listen = ["doctor", "--listen", "127.0.0.1:0", "--data-dir", data];
        let told = Ferry::new(FERRY, "http://127.0.0.1:1").run(&[&listen[..], arguments].concat());
        let line = told.stdout.lines().find(|line| line.contains("\tlineage\t"));
        line.unwrap_or_else(|| panic!("{}", told.stdout)).to_owned()
    };
    assert!(doctor(&data, &[]).starts_with("ok\t"));
    backed.records.place.hub.stop();
    copy(&data, &copied);
    let asked = doctor(&copied, &[]);
    assert!(asked.starts_with("fail\t") && asked.contains("admin lineage moved"), "{asked}");
    assert!(doctor(&copied, &["--on-copied", "restored"]).starts_with("warn\t"));
    control_alone(&data, &copied, "");
    fs::remove_file(copied.join("lineage")).unwrap();
    lineage("restored", &copied);
    let restored = doctor(&copied, &[]);
    assert!(restored.starts_with("warn\t") && restored.contains("older state"), "{restored}");
    backed = over(backed, &copied, &[]);
    assert!(doctor(&copied, &[]).starts_with("ok\t"));
    drop(backed);
}
