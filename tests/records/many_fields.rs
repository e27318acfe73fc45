//! Pushes of very many fields: what an old client has queued is taken whole, so it must cost no more than its size
//! (REC-35).

use std::time::Duration;

use ferry_testkit::wait;
use serde_json::{Map, Value, json};

use super::{Records, T};

const FIELDS: usize = 20_000;
/// It was most of a minute, and four times as long for twice the fields.
const MOST: Duration = Duration::from_secs(15);

fn wide(id: &str, value: u32, at: Option<&str>) -> Value {
    let field = |n: usize| {
        let mut field = Map::from_iter([("value".to_owned(), json!(value))]);
        field.extend(at.map(|at| ("at".to_owned(), json!(at))));
        (format!("f{n}"), Value::Object(field))
    };
    let fields: Map<String, Value> = (0..FIELDS).map(field).collect();
    json!({"table": "tasks", "id": id, "op": "update", "fields": fields})
}

// Each field was looked for among all others of its record, each stamp among all others of the push, each losing write in
// the whole history of its record, and each of many deletes reported every field again.
// Verifies: REC-35
#[test]
fn a_push_of_many_fields_does_not_delay_others() {
    let records = Records::new();
    let push = |what: &str, client: &str, since: &str, changes: &Value| {
        let (took, answer) = wait::timed(|| records.push(client, since, changes));
        assert!(took < MOST, "{what} took {took:?}");
        answer
    };
    let never = "2200-01-01T00:00:00Z";
    push("fields with times", "a", never, &json!([wide("one", 1, Some("2026-01-01T10:00:10Z"))]));
    let lost = push("fields that lose", "b", never, &json!([wide("one", 2, Some("2026-01-01T10:00:05Z"))]));
    assert_eq!(lost["conflicts"].as_array().unwrap().len(), FIELDS);
    let deletes: Vec<Value> = (20..59)
        .map(|second| {
            let at = format!("2026-01-01T10:00:{second}Z");
            json!({"table": "tasks", "id": "one", "op": "delete", "deletedAt": at})
        })
        .collect();
    push("deletes", "c", T, &json!(deletes));
    push("fields of the dead", "d", T, &json!([wide("one", 3, Some("2026-01-01T10:01:05Z"))]));
    let untimed = json!([wide("two", 1, None)]);
    push("fields without times", "a", never, &untimed);
    push("the same again", "a", never, &untimed);
    let ahead = json!([wide("three", 1, Some("2099-01-01T00:00:00Z"))]);
    push("fields far ahead", "a", never, &ahead);
    push("these again", "a", never, &ahead);
    let held = records.v1("GET", "/todo/tasks/one/history?limit=1", "").json();
    assert_eq!(held["entries"][0]["changes"][0]["fields"].as_object().unwrap().len(), FIELDS);
}

// Of two members with one name the last counts, as in the client that wrote them.
// Verifies: REC-18
#[test]
fn a_duplicate_field_name_in_a_change_counts_once() {
    let records = Records::new();
    let body = format!(
        r#"{{"clientId":"c","changes":[{{"table":"tasks","id":"t1","op":"insert","data":{{"createdAt":"{T}",
        "title":"first","title":"last"}}}}]}}"#
    );
    assert_eq!(records.call("POST", "/sync/todo", "", &body).status, 200);
    assert_eq!(records.v1("GET", "/todo/tasks/t1", "").json()["data"]["title"], "last");
    let changes = records.v1("GET", "/todo/tasks/t1/history", "").json()["entries"][0]["changes"].clone();
    assert_eq!(changes.as_array().unwrap().len(), 1, "{changes}");
}
