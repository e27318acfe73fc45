//! Cursors of Ferry's own client say of which run of the hub they are: what a hub that was put back, or is a copy, tells by them.

use ferry_testkit::{http, wait};
use serde_json::{Value, json};

use super::{
    Records, insert,
    restored_hub::{Backup, page, send, text},
    token,
};
use crate::support::{Place, copy_folder, options, put_back};

/// A cursor, and the run that it is of.
fn parts(cursor: &str) -> (&str, &str) {
    cursor.split_once('~').unwrap_or_else(|| panic!("{cursor}"))
}

fn reason(answer: &Value) -> &str {
    answer["reason"].as_str().unwrap_or("none")
}

fn ids_of(page: &Value) -> Vec<String> {
    let mut ids: Vec<String> =
        page["changes"].as_array().unwrap().iter().map(|change| text(&change["id"])).collect();
    ids.sort_unstable();
    ids
}

/// Waits for what the operator reads.
fn must_log(records: &Records, what: &str) {
    wait::until(what, || records.place.hub.log().contains(what).then_some(()));
}

fn evidence(records: &Records) -> Option<String> {
    let metrics = http::get(records.address(), "/metrics").unwrap().text();
    let line =
        metrics.lines().find(|line| line.starts_with("ferry_lineage_evidence_total{model=\"records\"}"));
    line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
}

// Two hubs that are copies of each other run at the same time, as after a failover by hand that forgot the first one. Both were
// running whenever the other wrote, so that no time tells; the device that was at the one says of which run it comes.
// Verifies: OPR-36, REC-22
#[test]
fn a_device_that_comes_from_a_copy_of_the_hub_sends_again_what_only_that_one_has() {
    let records = Records::new();
    records.push("maker", "", &json!([insert("tasks", "kept", "x")]));
    let (backup, records) = Backup::of(records);
    let folder = tempfile::tempdir().unwrap();
    put_back(backup.path(), folder.path());
    let other = options().data_dir(folder.path()).arg("--on-copied=moved").start();
    let (user, database) = (records.place.user.at(other.address()), records.place.database.clone());
    let other = Records { place: Place { hub: other, user, database }, token: records.token.clone() };
    // It writes, so that it was running when the first one wrote.
    other.push("maker", "", &json!([insert("tasks", "early", "x")]));
    let epoch = text(&page(&records, "writer", "since=0")["epoch"]);
    let head = text(&send(&records, "writer", "lost", &json!({"epoch": epoch}))["head"]);
    let cursor = text(&page(&records, "reader", "since=0")["cursor"]);
    assert_eq!(cursor, head, "of one run");
    other.push("maker", "", &json!([insert("tasks", "later", "x")]));

    let without_run = page(&other, "reader", &format!("since={}&epoch={epoch}", parts(&cursor).0));
    assert_eq!(
        (reason(&without_run), ids_of(&without_run)),
        ("none", vec!["later".to_owned()]),
        "no time tells"
    );
    assert_eq!(evidence(&other).as_deref(), Some("0"));

    let told = send(&other, "writer", "next", &json!({"epoch": epoch, "since": "0", "head": head}));
    assert_eq!((&told["resync"], reason(&told)), (&json!(true), "diverged"), "{told}");
    let known = text(&told["epoch"]);
    let whole = page(&other, "writer", &format!("since=0&own=1&epoch={known}"));
    assert_eq!(ids_of(&whole), ["early", "kept", "later"], "nothing of the refused push");
    assert_ne!(parts(whole["cursor"].as_str().unwrap()).1, parts(&cursor).1);
    let again = send(&other, "writer", "lost", &json!({"epoch": known, "since": whole["cursor"]}));
    assert_eq!(again["results"][0]["status"], "ok", "{again}");
    // The other one is told too, and has it all in the end.
    assert_eq!(reason(&page(&other, "reader", &format!("since={cursor}&epoch={epoch}"))), "epoch");
    let whole = page(&other, "reader", &format!("since=0&own=1&epoch={known}"));
    assert_eq!(ids_of(&whole), ["early", "kept", "later", "lost"]);
    let quiet = page(&other, "reader", &format!("since={}&epoch={known}", text(&whole["cursor"])));
    assert_eq!((reason(&quiet), ids_of(&quiet).len()), ("none", 0), "once");
    assert_eq!(evidence(&other).as_deref(), Some("1"));
    must_log(&other, "an unknown run");
}

// A snapshot of the volume that was taken while the hub ran: the run is known, and what it gave out later is not.
// Verifies: OPR-36, REC-22
#[test]
fn a_cursor_beyond_what_is_left_of_its_run_is_told_diverged() {
    let records = Records::new();
    records.push("maker", "", &json!([insert("tasks", "kept", "x")]));
    let before = page(&records, "quiet", "since=0");
    let snapshot = tempfile::tempdir().unwrap();
    copy_folder(&records.place.hub.data_dir(), snapshot.path());
    let epoch = text(&before["epoch"]);
    let head =
        text(&send(&records, "writer", "lost", &json!({"epoch": epoch, "since": before["cursor"]}))["head"]);
    assert_eq!(parts(&head).1, parts(before["cursor"].as_str().unwrap()).1, "of one run");
    let mut records = records;
    records.place.hub.kill();
    put_back(snapshot.path(), &records.place.hub.data_dir());
    let records = records.restarted();
    records.push("another", "", &json!([insert("tasks", "later", "x")]));
    // What is left of the run is true.
    let quiet = page(&records, "quiet", &format!("since={}&epoch={epoch}", text(&before["cursor"])));
    assert_eq!((reason(&quiet), ids_of(&quiet)), ("none", vec!["later".to_owned()]));
    let told =
        page(&records, "writer", &format!("since={}&head={head}&epoch={epoch}", text(&before["cursor"])));
    assert_eq!((&told["resync"], reason(&told)), (&json!(true), "diverged"), "{told}");
    must_log(&records, "an earlier run");
}

// Whoever may write can forge evidence; whoever may only read must not make all devices of its owner begin anew.
// Verifies: OPR-36
#[test]
fn a_forged_cursor_of_somebody_who_may_only_read_changes_nothing_for_others() {
    let records = Records::new();
    records.push("maker", "", &json!([insert("tasks", "kept", "x")]));
    let known = page(&records, "device", "since=0");
    let (epoch, cursor) = (text(&known["epoch"]), text(&known["cursor"]));
    let reads = token(&records.place, &["read"], &[]);
    let forged = format!("{}~00000000deadbeef", parts(&cursor).0);
    let ask = |token: &str| {
        let path = format!("/v1/databases/-/records/changes?app=todo&since={forged}&epoch={epoch}");
        records.call_as(token, "GET", &path, "forger", "").json()
    };
    let told = ask(&reads);
    assert_eq!((reason(&told), &told["epoch"]), ("diverged", &json!(epoch)), "{told}");
    let own = page(&records, "device", &format!("since={cursor}&epoch={epoch}"));
    assert_eq!((reason(&own), evidence(&records).as_deref()), ("none", Some("0")), "{own}");
    let told = ask(&records.token);
    assert_eq!((reason(&told), evidence(&records).as_deref()), ("diverged", Some("1")), "{told}");
    assert_ne!(text(&told["epoch"]), epoch);
    for bad in ["5~", "5~00000000DEADBEEF", "5~1"] {
        let path = format!("/v1/databases/-/records/changes?app=todo&since={bad}");
        assert_eq!(records.call("GET", &path, "d", "").status, 400, "{bad}");
    }
}
