//! Bad input and faults of the machine (records specification, section 5).

use ferry_testkit::{http, process, wait};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Records, device::Device, ids, insert, update};

#[test]
fn limits_are_named_and_nothing_is_applied() {
    let records = Records::new();
    for (change, status, word) in [
        (insert("tasks", &"i".repeat(1025), "x"), 400, "1024"),
        (insert(&"t".repeat(257), "t1", "x"), 400, "256"),
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

// A client of mana-sync that has such a record queued sends it until it is taken: it was refused for ever, and with it all
// that its user wrote later.
// Verifies: REC-35
#[test]
fn what_an_unmodified_client_has_queued_is_taken_up_to_the_limit_of_the_body() {
    let records = Records::new();
    let long_id = "i".repeat(1024);
    let large = "x".repeat(9 << 20);
    let at = "2026-01-01T10:00:01.000000000Z";
    let fields: serde_json::Map<String, Value> =
        (0..2_000).map(|n| (format!("f{n}"), json!({"value": n, "at": at}))).collect();
    let wide =
        json!({"table": "tasks", "id": "wide", "op": "insert", "data": {"id": "wide"}, "fields": fields});
    for change in [insert("tasks", &long_id, "of a long id"), insert("tasks", "large", &large), wide] {
        records.push("old", "", &json!([change]));
    }
    let mut other = Device::new("other");
    other.pull(&records);
    assert_eq!(other.value(&long_id, "title"), "of a long id");
    assert_eq!(other.value("large", "title"), large);
    assert_eq!(other.value("wide", "f1999"), 1_999);
    let path = format!("/todo/tasks/{long_id}");
    assert_eq!(records.v1("GET", &path, "").json()["data"]["title"], "of a long id");
    // Whoever lists them gets pages, and not all at once.
    let first = records.v1("GET", "/todo/tasks?limit=1000", "").json();
    assert_eq!((first["records"].as_array().unwrap().len(), &first["next"]), (2, &json!("large")));
    // What was exported comes back whole.
    let export = records.v1("GET", "/export", "").text();
    let admin = super::token(&records.place, &["admin"], &[]);
    let import = "/v1/databases/-/records/import?mode=replace";
    let imported = records.call_as(&admin, "POST", import, "", &export);
    assert_eq!(imported.status, 200, "{}", imported.text());
    let wide = records.v1("GET", "/todo/tasks/wide", "").json();
    assert_eq!(wide["data"]["f1999"], 1_999);
    // Ferry's own client sets such a change aside: only that change is rejected.
    let body = json!({"app": "todo", "changes": [
        {"collection": "tasks", "id": "large", "op": "update", "fields": {"title": {"value": large, "at": at}}},
        {"collection": "tasks", "id": "small", "op": "insert", "fields": {"title": {"value": "x", "at": at}}}]});
    let results = records.v1("POST", "/changes", &body.to_string()).json()["results"].clone();
    assert_eq!((&results[0]["reason"], &results[1]["status"]), (&json!("too_large"), &json!("ok")));
}

/// A list in a list, so many times.
fn nested(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

// A value nested 1,000 deep was stored; then SQLite read no JSON of its collection: every filter and the view failed.
// Verifies: REC-35
#[test]
fn a_value_nests_no_deeper_than_sqlite_reads() {
    let records = Records::new();
    let push = |id: &str, depth: usize| {
        let deep = nested(depth);
        let change = format!(
            r#"{{"table":"tasks","id":"{id}","op":"insert","data":{{"title":"x","deep":{deep},"s":"[[\"[["}}}}"#
        );
        records.call("POST", "/sync/todo", "c", &format!(r#"{{"changes":[{change}]}}"#))
    };
    let taken = push("deep", 500);
    assert_eq!(taken.status, 200, "{}", taken.text());
    for depth in [501, 1_000, 100_000] {
        let refused = push("too deep", depth);
        assert_eq!(refused.status, 413, "{}", refused.text());
        assert!(refused.text().contains("nests deeper than 500"), "{}", refused.text());
        let deep = nested(depth);
        let put = records.v1("PUT", "/todo/tasks/put", &format!(r#"{{"deep":{deep}}}"#));
        assert_eq!(put.status, 413, "{}", put.text());
        let actor = format!(r#"{{"changes":[{{"table":"tasks","id":"a","op":"delete","actor":{deep}}}]}}"#);
        assert_eq!(records.call("POST", "/sync/todo", "c", &actor).status, 413);
        let change = format!(
            r#"{{"app":"todo","changes":[{{"collection":"tasks","id":"own","op":"insert","fields":{{"d":{{"value":{deep}}}}}}}]}}"#
        );
        let answer = records.v1("POST", "/changes", &change).json();
        assert_eq!(answer["results"][0]["reason"], "too_large", "{answer}");
    }
    let found = records.v1("GET", "/todo/tasks?where%5Btitle%5D=x", "").text();
    assert!(found.contains(&nested(500)), "{found}");
    let file = records.place.hub.database_dir(&records.place.database).join("main.db");
    let view: String = Connection::open(file)
        .unwrap()
        .query_row("SELECT deep FROM records_todo__tasks WHERE title = 'x'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(view, nested(500));
}

// A PUT over a record with a value that nests deeper than a tree of values is read kept every member that it should have
// removed.
// Verifies: REC-35
#[test]
fn putting_over_a_deep_value_removes_what_is_absent() {
    let records = Records::new();
    let deep = nested(300);
    records.v1("PUT", "/todo/tasks/t1", &format!(r#"{{"old":1,"deep":{deep}}}"#));
    for (body, kept) in [(r#"{"title":"x"}"#.to_owned(), "null"), (format!(r#"{{"deep":{deep}}}"#), &*deep)] {
        assert_eq!(records.v1("PUT", "/todo/tasks/t1", &body).status, 200);
        let held = records.v1("GET", "/todo/tasks/t1", "").text();
        assert!(held.contains(r#""old":null"#), "{held}");
        assert!(held.contains(&format!(r#""deep":{kept}"#)), "{held}");
    }
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
fn oversized_bodies_use_little_memory() {
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
    let garbled = http::send(records.address(), "POST", "/sync/todo", &headers, b"xx").unwrap();
    assert_eq!(garbled.status, 400, "{}", garbled.text());
    let body = json!({"clientId": "c", "changes": [insert("tasks", "t2", "x")]}).to_string();
    let small = http::gzip(body.as_bytes());
    let taken = http::send(records.address(), "POST", "/sync/todo", &headers, &small).unwrap();
    assert_eq!(taken.status, 200, "{}", taken.text());
    let grown = peak() - before;
    assert!(grown < MOST_BYTES, "the hub grew by {grown} bytes");
}

// Verifies: REC-52
#[test]
fn record_pushes_are_visible_in_a_page_pull_of_the_database() {
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
