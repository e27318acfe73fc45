//! A data directory restored as a whole: nothing in it knows what was lost, only the devices do.

use std::path::Path;

use ferry_testkit::http;
use serde_json::{Value, json};

use super::{Records, T, device::Device, ids, insert};
use crate::support::{copy_folder, put_back};

/// Everything that the hub keeps, as an operator backs it up.
pub(super) struct Backup(tempfile::TempDir);

impl Backup {
    /// Stops the hub for it.
    pub(super) fn of(mut records: Records) -> (Self, Records) {
        records.place.hub.stop();
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&records.place.hub.data_dir(), folder.path());
        (Self(folder), records.restarted())
    }

    pub(super) fn put_back(&self, mut records: Records) -> Records {
        records.place.hub.stop();
        let dir = records.place.hub.data_dir();
        put_back(self.0.path(), &dir);
        records.restarted()
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A page of Ferry's own client.
pub(super) fn page(records: &Records, device: &str, query: &str) -> Value {
    let path = format!("/v1/databases/-/records/changes?app=todo&{query}");
    let answer = records.call("GET", &path, device, "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

/// A push of Ferry's own client; its answer.
pub(super) fn send(records: &Records, device: &str, id: &str, beside: &Value) -> Value {
    let field = |value: Value| json!({"value": value, "at": T});
    let mut body = json!({"app": "todo", "changes": [{"collection": "tasks", "id": id, "op": "insert",
        "fields": {"title": field(json!(device)), "deletedAt": field(json!(null))}}]});
    body.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
    let answer = records.call("POST", "/v1/databases/-/records/changes", device, &body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn cursors_ahead(records: &Records) -> String {
    let metrics = http::send(records.address(), "GET", "/metrics", &[], b"").unwrap().text();
    let line = metrics.lines().find(|line| line.starts_with("ferry_records_cursors_ahead_total"));
    line.unwrap_or("none").to_owned()
}

// The README's own backup, put back: the hub went on with its old epoch, devices kept a cursor of commits that it did not
// have, and what it had lost was never sent again.
// Verifies: REC-22, REC-44, OPR-36
#[test]
fn devices_resync_with_a_restored_hub() {
    for another_writes_first in [false, true] {
        let records = Records::new();
        records.push("maker", "", &json!([insert("tasks", "kept", "x")]));
        let before = page(&records, "quiet", "since=0");
        let (backup, records) = Backup::of(records);
        let epoch = text(&before["epoch"]);
        // One device writes, another one reads; each on both wires.
        let known = json!({"epoch": epoch, "since": before["cursor"]});
        let head = text(&send(&records, "writer", "lost", &known)["head"]);
        let cursor = text(&page(&records, "reader", "since=0")["cursor"]);
        assert_eq!(head, cursor);
        let mut old = Device::new("old");
        old.pull(&records);
        let old_writer =
            text(&records.push("old writer", "", &json!([insert("notes", "n", "x")]))["syncedUntil"]);
        let records = backup.put_back(records);
        if another_writes_first {
            // From now on no cursor is ahead of the newest commit.
            records.push("another", "", &json!([insert("tasks", "later", "x")]));
        }
        let resync = |answer: &Value, reason: &str| {
            let known = text(&answer["epoch"]);
            assert_eq!((&answer["resync"], &answer["reason"]), (&json!(true), &json!(reason)), "{answer}");
            assert_ne!(known, epoch);
            known
        };
        // The writer's own cursor is from before its write; it has the newest commit that it was told of.
        let since = text(&before["cursor"]);
        let refused =
            send(&records, "writer", "next", &json!({"epoch": epoch, "since": since, "head": head}));
        let known = resync(&refused, "diverged");
        assert!(known.len() <= 64 && known.starts_with(&*epoch), "{known}");
        for query in
            [format!("since={cursor}&epoch={epoch}"), format!("since={since}&head={head}&epoch={epoch}")]
        {
            assert_eq!(resync(&page(&records, "reader", &query), "epoch"), known, "once for all of them");
        }
        // Also for one whose cursor proves nothing.
        let quiet = page(&records, "quiet", &format!("since={since}&epoch={epoch}"));
        assert_eq!(resync(&quiet, "epoch"), known);
        let whole = page(&records, "reader", &format!("since=0&own=1&epoch={known}"));
        let mut found: Vec<String> =
            whole["changes"].as_array().unwrap().iter().map(|change| text(&change["id"])).collect();
        found.sort_unstable();
        let left: &[&str] = if another_writes_first { &["kept", "later"] } else { &["kept"] };
        assert_eq!(found, left, "what was refused was not applied");
        let again = send(&records, "writer", "lost", &json!({"epoch": known, "since": whole["cursor"]}));
        assert_eq!(again["results"][0]["status"], "ok");
        // Devices of the old wire get everything once more.
        let all = [left, &["lost"]].concat();
        assert_eq!(ids(&records.pull_all("old", "tasks", &old.cursor).0).len(), all.len());
        let delta = records.push("old writer", &old_writer, &json!([]));
        assert_eq!(ids(delta["serverChanges"].as_array().unwrap()).len(), all.len());
        let (_, cursor) = records.pull_all("old", "tasks", &old.cursor);
        records.push("another", "", &json!([insert("tasks", "news", "x")]));
        assert_eq!(ids(&records.pull_all("old", "tasks", &cursor).0), ["news"], "once");
        assert_eq!(cursors_ahead(&records), "ferry_records_cursors_ahead_total 1");
        let metrics = http::get(records.address(), "/metrics").unwrap().text();
        assert!(metrics.contains("ferry_lineage_evidence_total{model=\"records\"} 1"), "{metrics}");
        let log = records.place.hub.log();
        assert!(log.contains("put back") && log.contains("ahead_ms"), "{log}");
    }
}

// Verifies: REC-22
#[test]
fn a_restored_hub_is_detected_by_existing_devices_only() {
    for (by, another_writes_first) in
        [("pull", false), ("pull", true), ("stream", true), ("push", true), ("push", false)]
    {
        let records = Records::new();
        records.push("maker", "", &json!([insert("tasks", "kept", "x")]));
        let (backup, records) = Backup::of(records);
        records.push("maker", "", &json!([insert("tasks", "lost", "x")]));
        let cursor = records.pull_all("old", "tasks", "").1;
        let records = backup.put_back(records);
        if another_writes_first {
            records.push("maker", "", &json!([insert("tasks", "later", "x")]));
        }
        let left: &[&str] = if another_writes_first { &["kept", "later"] } else { &["kept"] };
        let changes = match by {
            "pull" => records.pull_all("old", "tasks", &cursor).0,
            "stream" => {
                let event = records.stream(&format!("?since={cursor}")).event().unwrap();
                event.data["changes"].as_array().unwrap().clone()
            }
            _ => records.push("old", &cursor, &json!([]))["serverChanges"].as_array().unwrap().clone(),
        };
        assert_eq!(ids(&changes), left, "{by} {another_writes_first}");
        assert_eq!(cursors_ahead(&records), "ferry_records_cursors_ahead_total 1", "{by}");
    }
}

// A hub that starts again, or whose device names a time that no hub gave out, has lost nothing.
// Verifies: REC-22
#[test]
fn a_restart_or_a_future_cursor_starts_no_new_epoch() {
    let mut records = Records::new();
    records.push("maker", "", &json!([insert("tasks", "t0", "x")]));
    let (mut device, mut cursors) = (Device::new("d"), Vec::new());
    let epoch = text(&page(&records, "f", "since=0")["epoch"]);
    for round in 1..4 {
        device.pull(&records);
        let ferry = text(&page(&records, "f", &format!("since=0&epoch={epoch}"))["cursor"]);
        cursors.push((device.cursor.clone(), ferry));
        records = records.restarted();
        records.push("maker", "", &json!([insert("tasks", &format!("t{round}"), "x")]));
        for (behind, (old, ferry)) in cursors.iter().rev().enumerate() {
            assert_eq!(ids(&records.pull_all("d", "tasks", old).0).len(), behind + 1);
            let news = page(&records, "f", &format!("since={ferry}&epoch={epoch}"));
            assert_eq!(news["changes"].as_array().unwrap().len(), behind + 1, "{news}");
        }
    }
    let future = records.pull("d", "tasks", "2199-01-01T00:00:00Z");
    assert_eq!(future["serverChanges"], json!([]));
    assert_eq!(cursors_ahead(&records), "none");
}
