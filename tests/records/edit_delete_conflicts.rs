//! Edits concurrent with a delete by another device: both devices get the conflict.

use serde_json::{Value, json};

use super::Records;

const DELETED: &str = "2026-01-01T10:00:05.000000000Z";
const EDITED: &str = "2026-01-01T10:00:09.000000000Z";

fn change(op: &str, field: &str, value: &Value, at: &str) -> Value {
    json!({"collection": "tasks", "id": "t1", "op": op, "fields": {field: {"value": value, "at": at}}})
}

fn send(records: &Records, device: &str, since: &Value, changes: &[Value]) -> Value {
    let body = json!({"app": "todo", "since": since, "changes": changes}).to_string();
    let answer = records.call("POST", "/v1/databases/-/records/changes", device, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

// The edit was merged under the tombstone, and neither device got a conflict.
// Verifies: REC-42
#[test]
fn an_edit_concurrent_with_a_delete_is_a_conflict_in_both_orders() {
    for delete_first in [true, false] {
        let records = Records::new();
        let made = json!([
            change("insert", "title", &json!("made"), "2026-01-01T10:00:00Z"),
            change("update", "deletedAt", &json!(null), "2026-01-01T10:00:00Z"),
        ]);
        send(&records, "maker", &json!("0"), made.as_array().unwrap());
        let path = "/v1/databases/-/records/changes?app=todo&since=0";
        let cursor = records.call("GET", path, "ada", "").json()["cursor"].clone();
        let delete = [change("delete", "deletedAt", &json!(DELETED), DELETED)];
        let edit = [change("update", "title", &json!("edited"), EDITED)];
        let (first, second) = match delete_first {
            true => (("ada", &delete), ("bob", &edit)),
            false => (("bob", &edit), ("ada", &delete)),
        };
        assert_eq!(send(&records, first.0, &cursor, first.1)["conflicts"], Value::Null);
        let reply = |answer: &Value| {
            let conflict = &answer["conflicts"][0];
            assert_eq!((&conflict["field"], &conflict["id"]), (&json!("title"), &json!("t1")), "{answer}");
            assert_eq!(conflict["winner"], json!({"value": DELETED, "at": DELETED, "by": "ada"}));
            assert_eq!(conflict["loser"], json!({"value": "edited", "at": EDITED, "by": "bob"}));
            assert_eq!(answer["conflicts"].as_array().unwrap().len(), 1);
        };
        let answer = send(&records, second.0, &cursor, second.1);
        reply(&answer);
        reply(&send(&records, second.0, &cursor, second.1));
        // The other device is given what it needs to report the conflict too.
        let page = records
            .call(
                "GET",
                &format!("{path}&since={}", cursor.as_str().unwrap()).replace("since=0&", ""),
                first.0,
                "",
            )
            .json();
        let met = if delete_first { "title" } else { "deletedAt" };
        assert_eq!(page["changes"][0]["fields"][met]["by"], second.0, "{page}");
        let open = records.v1("GET", "/conflicts", "").json();
        let open = open["conflicts"].as_array().unwrap();
        assert_eq!((open.len(), &open[0]["loser"]["by"]), (1, &json!("bob")), "{open:?}");
        // Taking the edit brings the record back.
        let resolve = format!("/conflicts/{}/resolve", open[0]["id"]);
        assert_eq!(records.v1("POST", &resolve, r#"{"take":"loser"}"#).status, 200);
        let held = records.v1("GET", "/todo/tasks/t1", "").json();
        assert_eq!((&held["deleted"], &held["data"]["title"]), (&json!(false), &json!("edited")));
    }
}

// Verifies: REC-42
#[test]
fn an_edit_after_seeing_the_delete_is_no_conflict() {
    let records = Records::new();
    let cursor = |device: &str| {
        let path = "/v1/databases/-/records/changes?app=todo&since=0";
        records.call("GET", path, device, "").json()["cursor"].clone()
    };
    let insert = [change("insert", "title", &json!("made"), "2026-01-01T10:00:00Z")];
    send(&records, "maker", &json!("0"), &insert);
    let delete = [change("delete", "deletedAt", &json!(DELETED), DELETED)];
    assert_eq!(send(&records, "ada", &cursor("ada"), &delete)["conflicts"], Value::Null);
    let edit = [change("update", "title", &json!("edited"), EDITED)];
    let answer = send(&records, "bob", &cursor("bob"), &edit);
    assert_eq!(answer["conflicts"], Value::Null, "{answer}");
    assert_eq!(answer["results"][0]["fields"]["deletedAt"]["by"], "ada");
    assert_eq!(records.v1("GET", "/conflicts", "").json()["conflicts"], json!([]));
}
