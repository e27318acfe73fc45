//! Bad input and faults of the machine (records specification, section 5).

use ferry_testkit::{http, process, wait};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Records, ids, insert, update};

#[test]
fn limits_are_named_and_nothing_is_applied() {
    let records = Records::new();
    let with_fields = |count: usize| {
        let fields: serde_json::Map<String, Value> =
            (0..count).map(|n| (format!("f{n}"), json!({"value": n}))).collect();
        json!({"table": "tasks", "id": "t1", "op": "update", "fields": fields})
    };
    for (change, status, word) in [
        (with_fields(501), 413, "500"),
        (insert("tasks", "t1", &"x".repeat((1 << 20) + 1)), 413, "1048576"),
        (insert("tasks", &"i".repeat(257), "x"), 400, "256"),
        (insert("tasks", "a\u{1}b", "x"), 400, "invalid"),
        (insert("", "t1", "x"), 400, "missing table or id in change 1"),
    ] {
        let body = json!({"clientId": "c", "changes": [insert("tasks", "good", "x"), change]});
        let refused = records.call("POST", "/sync/todo", "", &body.to_string());
        assert_eq!(refused.status, status, "{}", refused.text());
        assert!(refused.text().contains(word), "{}", refused.text());
    }
    let large = format!(r#"{{"clientId":"c","x":"{}"}}"#, "x".repeat(10 << 20));
    assert_eq!(records.call("POST", "/sync/todo", "", &large).status, 413);
    assert_eq!(records.pull("r", "tasks", "")["serverChanges"], json!([]));
}

#[test]
fn one_batch_may_write_a_field_twice() {
    let records = Records::new();
    for (id, times) in [("up", ["10:00:01Z", "10:00:02Z"]), ("down", ["10:00:02Z", "10:00:01Z"])] {
        let at = |place: usize| format!("2026-01-01T{}", times[place]);
        let first = update(id, "n", &json!(times[0]), &at(0));
        let second = update(id, "n", &json!(times[1]), &at(1));
        records.push("c", "", &json!([insert("tasks", id, "x"), first, second]));
        let seen = records.v1("GET", &format!("/todo/tasks/{id}"), "").json();
        assert_eq!(seen["data"]["n"], "10:00:02Z", "{id}");
    }
}

// Verifies: REC-18
#[test]
fn a_full_disk_refuses_the_push_and_goes_on_serving() {
    let mut records = Records::new();
    records.push("c", "", &json!([insert("tasks", "before", "x")]));
    records = records.restarted_with(|options| options.fault("records.applied=full"));
    let body = json!({"clientId": "c", "changes": [insert("tasks", "lost", "x")]}).to_string();
    let refused = records.call("POST", "/sync/todo", "", &body);
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(ids(&records.pull_all("r", "tasks", "").0), ["before"], "reads go on");
    records = records.restarted();
    assert_eq!(ids(&records.pull_all("r", "tasks", "").0), ["before"]);
    assert_eq!(records.call("POST", "/sync/todo", "", &body).status, 200);
}

// Verifies: REC-18
#[test]
fn a_database_that_somebody_else_has_locked_refuses_the_push_and_goes_on_serving() {
    let records = Records::new();
    records.push("c", "", &json!([insert("tasks", "before", "x")]));
    let file = records.place.hub.database_dir(&records.place.database).join("main.db");
    let other = Connection::open(file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let body = json!({"clientId": "c", "changes": [insert("tasks", "later", "x")]}).to_string();
    let (took, ()) = wait::timed(|| {
        std::thread::scope(|scope| {
            let pushes: Vec<_> =
                (0..8).map(|_| scope.spawn(|| records.call("POST", "/sync/todo", "", &body))).collect();
            assert_eq!(ids(&records.pull_all("r", "tasks", "").0), ["before"], "reads go on");
            for push in pushes {
                let refused = push.join().unwrap();
                assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
                assert_eq!(refused.text(), "the database is busy: try again\n");
            }
        });
    });
    // The first one waits five seconds, those that gathered meanwhile five more: not each for the one before.
    assert!(took.as_secs() < 25, "{took:?}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(ids(&records.pull_all("r", "tasks", "").0), ["before"]);
    assert_eq!(records.call("POST", "/sync/todo", "", &body).status, 200);
    assert_eq!(ids(&records.pull_all("r", "tasks", "").0), ["before", "later"]);
}

#[test]
fn bodies_that_are_too_much_cost_little_memory() {
    const MOST_BYTES: u64 = 48 << 20;
    let records = Records::new();
    records.push("c", "", &json!([insert("tasks", "t1", "x")]));
    let peak = || process::usage(records.place.hub.pid()).map_or(0, |usage| usage.peak_bytes);
    let before = peak();
    let change = r#"{"table":"t","id":"i","op":"delete"}"#;
    let many = vec![change; (10 << 20) / (change.len() + 1) - 1].join(",");
    let refused = records.call("POST", "/sync/todo", "c", &format!("{{\"changes\":[{many}]}}"));
    assert_eq!(refused.status, 413);
    assert!(refused.text().contains("5000"), "{}", refused.text());
    let (bomb, bearer) = (http::gzip(&vec![b' '; 512 << 20]), records.bearer());
    let headers = [("Authorization", &*bearer), ("Content-Encoding", "gzip")];
    let refused = http::send(records.address(), "POST", "/sync/todo", &headers, &bomb).unwrap();
    assert_eq!(refused.status, 413, "{}", refused.text());
    let body = json!({"clientId": "c", "changes": [insert("tasks", "t2", "x")]}).to_string();
    let small = http::gzip(body.as_bytes());
    let taken = http::send(records.address(), "POST", "/sync/todo", &headers, &small).unwrap();
    assert_eq!(taken.status, 200, "{}", taken.text());
    let grown = peak() - before;
    assert!(grown < MOST_BYTES, "the hub grew by {grown} bytes");
}

// Verifies: REC-52
#[test]
fn a_push_changes_what_a_page_replica_brings() {
    let records = Records::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy.db");
    for title in ["first", "second"] {
        records.push(
            title,
            "",
            &json!([{"table": "tasks", "id": "t1", "op": "insert", "data": {"title": title}}]),
        );
        records.place.pull(&file);
        let copy = Connection::open(&file).unwrap();
        let seen: String =
            copy.query_row("SELECT title FROM records_todo__tasks", [], |row| row.get(0)).unwrap();
        assert_eq!(seen, title);
    }
}

// A value that ends with a brace of its own was cut when absent members were added.
#[test]
fn putting_a_nested_value_over_other_members() {
    let records = Records::new();
    records.v1("PUT", "/todo/tasks/t1", r#"{"old":1,"kept":{"a":1}}"#);
    let put = records.v1("PUT", "/todo/tasks/t1", r#"{"kept":{"a":{"b":2}}}"#);
    assert_eq!((put.status, &put.json()["data"]), (200, &json!({"kept": {"a": {"b": 2}}, "old": null})));
}
