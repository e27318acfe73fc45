//! Limits and cost of collections (REC-35).

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use ferry_testkit::{http::Response, wait};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Records, insert, token};

/// No more than somebody who looks at a spinner forgives; it was 93 s.
const MOST: Duration = Duration::from_secs(10);

fn inserts(names: impl Iterator<Item = String>) -> Value {
    names.map(|name| insert(&name, "r", "x")).collect()
}

fn push(records: &Records, app: &str, changes: &Value) -> Response {
    let body = json!({"clientId": "c", "since": "2200-01-01T00:00:00Z", "changes": changes}).to_string();
    records.call("POST", &format!("/sync/{app}"), "", &body)
}

fn views(records: &Records) -> usize {
    let file = records.place.hub.database_dir(&records.place.database).join("main.db");
    let count =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'view' AND name LIKE 'records\\_%' ESCAPE '\\'";
    Connection::open(file).unwrap().query_row(count, [], |row| row.get::<_, i64>(0)).unwrap() as usize
}

// 428 kB that named 5,000 collections stopped a database's writer for 93 s: the schema was read through four times for each.
// Verifies: REC-35
#[test]
fn a_push_of_many_new_collections_does_not_delay_others() {
    let records = Records::new();
    records.push("c", "", &json!([insert("tasks", "before", "x")]));
    let (took, refused) =
        wait::timed(|| push(&records, "todo", &inserts((0..5_000).map(|n| format!("c{n}")))));
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().starts_with("TOO_MANY_COLLECTIONS: 5000 collections of this push are new, "));
    assert!(took < MOST, "{took:?}");
    assert_eq!(views(&records), 1, "nothing of it was stored");
    // As many as may be new are made while others write, and are there when the answer is.
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            let mut number = 0;
            while !is_done.load(Ordering::Acquire) {
                number += 1;
                let changes = json!([insert("tasks", &format!("t{number}"), "x")]);
                let (took, answer) = wait::timed(|| push(&records, "todo", &changes));
                assert_eq!(answer.status, 200, "{}", answer.text());
                longest = longest.max(took);
            }
            longest
        });
        let hundred = inserts((0..100).map(|n| format!("c{n}")));
        let (took, answer) = wait::timed(|| push(&records, "todo", &hundred));
        is_done.store(true, Ordering::Release);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let longest = other.join().unwrap();
        assert!(took < MOST && longest < MOST, "{took:?}, and others waited {longest:?}");
    });
    assert_eq!(views(&records), 101);
}

// Verifies: REC-35
#[test]
fn the_number_of_collections_per_app_and_database_is_limited() {
    let records = Records::new();
    let names = |from: usize, to: usize| inserts((from..to).map(|n| format!("c{n}")));
    for app in ["one", "two"] {
        for hundred in 0..5 {
            let answer = push(&records, app, &names(hundred * 100, hundred * 100 + 100));
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let refused = push(&records, app, &names(499, 501));
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(
            refused.text().contains("at most 500") && refused.text().contains("c500"),
            "{}",
            refused.text()
        );
        let known = push(&records, app, &json!([insert("c499", "another", "x")]));
        assert_eq!(known.status, 200, "what is there stays in use: {}", known.text());
    }
    let third = push(&records, "three", &names(0, 1));
    assert_eq!(third.status, 422, "{}", third.text());
    assert!(third.text().contains("at most 1000"), "{}", third.text());
    let put = records.v1("PUT", "/three/c0/r", "{}");
    assert_eq!((put.status, &put.json()["error"]["reason"]), (422, &json!("TOO_MANY_COLLECTIONS")));
    let field = json!({"value": 1, "at": "2026-01-01T10:00:00Z"});
    let change = json!({"collection": "c0", "id": "r", "op": "insert", "fields": {"n": field}});
    let own = records.v1("POST", "/changes", &json!({"app": "three", "changes": [change]}).to_string());
    assert_eq!((own.status, &own.json()["error"]["reason"]), (422, &json!("TOO_MANY_COLLECTIONS")));
    // What the message advises helps: collections of an owner who is removed, and of nobody else, make room.
    let admin = token(&records.place, &["admin"], &[]);
    let export = records.v1("GET", "/export", "").text();
    let header: Value = serde_json::from_str(export.lines().next().unwrap()).unwrap();
    let path = format!("/v1/databases/-/records/owners/{}", header["owner"].as_str().unwrap());
    assert_eq!(records.call_as(&admin, "DELETE", &path, "", "").status, 200);
    wait::until("there is room for another collection", || {
        (push(&records, "three", &names(0, 1)).status == 200).then_some(())
    });
}
