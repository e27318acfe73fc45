//! kill -9 at every step of a push.

use std::fs;

use serde_json::json;

use super::{Records, ids, insert};

// Verifies: REC-18, REC-19
#[test]
fn a_push_is_stored_whole_or_not_at_all() {
    let mut records = Records::new();
    records.push("c", "", &json!([insert("tasks", "before", "x")]));
    for point in ["records.applied", "records.committed", "actor.commit", "actor.committed"] {
        // No new token: minting one is a commit too.
        records = records.restarted_with(|options| options.fault(format!("{point}=kill")));
        let push: Vec<_> = (0..50).map(|n| insert("tasks", &format!("{point}{n}"), "x")).collect();
        let body = json!({"clientId": "c", "changes": push}).to_string();
        let bearer = records.bearer();
        let answer = ferry_testkit::http::send(
            records.address(),
            "POST",
            "/sync/todo",
            &[("Authorization", &bearer)],
            body.as_bytes(),
        );
        assert!(answer.is_err(), "{point}: acknowledged before it died");
        records.place.hub.ended();
        records = records.restarted();
        let stored = ids(&records.pull_all("r", "tasks", "").0);
        let count =
            stored.iter().filter(|id| id.starts_with(point) && !id[point.len()..].starts_with('t')).count();
        let expected = if point.ends_with("committed") { 50 } else { 0 };
        assert_eq!(count, expected, "{point}");
        assert!(stored.contains(&"before".to_owned()));
        records.push("c", "", &json!(push));
        let stored = ids(&records.pull_all("r2", "tasks", "").0);
        assert!(push.iter().all(|change| stored.contains(&change["id"].as_str().unwrap().to_owned())));
    }
}

// A restored hub went on with cursors that promised lost commits.
// Verifies: REC-44
#[test]
fn a_restored_file_begins_a_new_epoch() {
    let mut records = Records::new();
    records.push("c", "", &json!([insert("tasks", "kept", "x")]));
    let dir = records.place.hub.database_dir(&records.place.database);
    records.place.hub.stop();
    let backup = fs::read(dir.join("main.db")).unwrap();
    records = records.restarted();
    records.push("c", "", &json!([insert("tasks", "lost", "x")]));
    let cursor = records.pull_all("d", "tasks", "").1;
    let epoch = records.v1("GET", "/changes", "").json()["epoch"].as_str().unwrap().to_owned();
    assert_eq!(records.pull("d", "tasks", &cursor)["serverChanges"], json!([]));
    records.place.hub.stop();
    for name in ["main.db-wal", "main.db-shm"] {
        let _ = fs::remove_file(dir.join(name));
    }
    fs::write(dir.join("main.db"), backup).unwrap();
    records = records.restarted();
    let reply = records.v1("GET", &format!("/changes?since=1&epoch={epoch}"), "").json();
    assert_eq!((&reply["resync"], &reply["reason"]), (&json!(true), &json!("epoch")));
    assert_eq!(ids(&records.pull_all("d", "tasks", &cursor).0), ["kept"], "old clients begin at the epoch");
    let minted = reply["epoch"].as_str().unwrap().to_owned();
    assert!(minted != epoch && !minted.is_empty());
    // A restart without a loss keeps it.
    records = records.restarted();
    assert_eq!(records.v1("GET", "/changes", "").json()["epoch"], *minted);
}
