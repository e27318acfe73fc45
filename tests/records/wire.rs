//! Push and pull of compatible clients.

use std::{collections::BTreeSet, thread};

use ferry_testkit::http;
use serde_json::{Value, json};

use super::{Records, T, ids, insert, update};

// Verifies: REC-03, REC-15
#[test]
fn two_generations_edit_one_record_in_turns() {
    let records = Records::new();
    records.push("old", "", &json!([insert("tasks", "t1", "first")]));
    let gen_1 = json!([{"table": "tasks", "id": "t1", "op": "update",
        "fields": {"title": {"value": "of one", "updatedAt": "2026-01-01T12:00:01+02:00"}}}]);
    records.push("one", "", &gen_1);
    records.push("two", "", &json!([update("t1", "title", &json!("of two"), "2026-01-01T10:00:02Z")]));
    let page = records.pull("fresh", "tasks", "");
    let changes = page["serverChanges"].as_array().unwrap();
    assert_eq!((&changes[0]["op"], &changes[1]["op"]), (&json!("insert"), &json!("update")));
    assert_eq!(changes[0]["data"], json!({"id": "t1", "createdAt": "2026-01-01T10:00:00.000000000Z"}));
    let title = &changes[1]["fields"]["title"];
    assert_eq!(title["value"], "of two");
    for field in changes[1]["fields"].as_object().unwrap().values() {
        assert_eq!(field["at"], field["updatedAt"]);
    }
    assert_eq!(title["at"], "2026-01-01T10:00:02.000000000Z");
    assert!(page.get("hasMore").is_none() && page["conflicts"] == json!([]));
}

// Verifies: REC-01, REC-16
#[test]
fn a_tie_has_one_winner_in_both_orders() {
    for order in [["a", "b"], ["b", "a"]] {
        let records = Records::new();
        records.push("maker", "", &json!([insert("tasks", "t1", "x")]));
        let mut lost = Value::Null;
        for client in order {
            let at = "2026-01-01T10:00:05.000Z";
            let answer = records.push(client, "", &json!([update("t1", "title", &json!(client), at)]));
            if client == "a" && order[0] == "b" {
                lost = answer;
            }
        }
        let (changes, _) = records.pull_all("fresh", "tasks", "");
        assert_eq!(changes[1]["fields"]["title"]["value"], "b");
        if order[0] == "b" {
            assert_eq!(lost["conflicts"][0]["winner"]["value"], "b");
            assert_eq!(
                lost["serverChanges"][0]["fields"]["title"]["value"], "b",
                "the loser is told at once"
            );
        }
    }
}

// Verifies: REC-11, REC-12
#[test]
fn pages_miss_nothing_while_a_writer_goes_on() {
    let records = Records::new();
    let inserts: Vec<Value> = (0..2_500).map(|n| insert("tasks", &format!("t{n:04}"), "x")).collect();
    records.push("maker", "", &json!(inserts));
    let pulled = thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..40 {
                let at = format!("2026-01-01T10:01:{:02}Z", n % 60);
                records.push(
                    "editor",
                    "",
                    &json!([update(&format!("t{:04}", n * 60), "title", &json!(n), &at)]),
                );
            }
        });
        records.pull_all("reader", "tasks", "")
    });
    let (mut changes, cursor) = pulled;
    changes.extend(records.pull_all("reader", "tasks", &cursor).0);
    let seen: BTreeSet<String> = ids(&changes).into_iter().collect();
    assert_eq!(seen.len(), 2_500);
    for n in 0..40 {
        let id = format!("t{:04}", n * 60);
        let last = changes.iter().rfind(|change| change["id"] == id && change["op"] == "update").unwrap();
        assert_eq!(last["fields"]["title"]["value"], n, "{id}");
    }
}

// Verifies: REC-10, REC-19
#[test]
fn many_writers_and_pullers_end_with_one_state() {
    let records = Records::new();
    records.push("maker", "", &json!([insert("tasks", "seed", "x")]));
    let seen: Vec<BTreeSet<String>> = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let records = &records;
                scope.spawn(move || {
                    for batch in 0..10 {
                        let changes: Vec<Value> = (0..20)
                            .map(|n| insert("tasks", &format!("w{writer}-{batch}-{n}"), "x"))
                            .collect();
                        records.push(&format!("w{writer}"), "", &json!(changes));
                    }
                })
            })
            .collect();
        let pullers: Vec<_> = (0..4)
            .map(|puller| {
                let records = &records;
                scope.spawn(move || {
                    let (mut found, mut cursor) = (BTreeSet::new(), String::new());
                    while found.len() < 1_601 {
                        let (changes, next) = records.pull_all(&format!("p{puller}"), "tasks", &cursor);
                        found.extend(ids(&changes));
                        cursor = next;
                    }
                    found
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        pullers.into_iter().map(|puller| puller.join().unwrap()).collect()
    });
    assert!(seen.iter().all(|found| *found == seen[0]));
}

// Verifies: REC-12, REC-13
#[test]
fn a_cut_delta_is_not_declared_complete() {
    let records = Records::new();
    for table in ["tasks", "notes"] {
        let inserts: Vec<Value> = (0..3_000).map(|n| insert(table, &format!("{table}{n}"), "x")).collect();
        records.push("maker", "", &json!(inserts));
    }
    let first = records.push("reader", "", &json!([]));
    assert_eq!(first["hasMore"], true);
    let mut seen: BTreeSet<String> = ids(first["serverChanges"].as_array().unwrap()).into_iter().collect();
    assert!(seen.len() < 6_000);
    let cursor = first["syncedUntil"].as_str().unwrap();
    for table in ["tasks", "notes"] {
        seen.extend(ids(&records.pull_all("reader", table, cursor).0));
    }
    assert_eq!(seen.len(), 6_000);
    // By pushes alone, too.
    let (mut seen, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let answer = records.push("poster", &cursor, &json!([]));
        seen.extend(ids(answer["serverChanges"].as_array().unwrap()));
        answer["syncedUntil"].as_str().unwrap().clone_into(&mut cursor);
        if answer.get("hasMore").is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 6_000);
}

// Verifies: REC-18
#[test]
fn one_bad_change_among_200_and_nothing_is_applied() {
    let records = Records::new();
    let mut changes: Vec<Value> = (0..200).map(|n| insert("tasks", &format!("t{n}"), "x")).collect();
    let good = changes[137].take();
    changes[137] = json!({"table": "tasks", "id": "t137", "op": "upsert"});
    let body = json!({"clientId": "c", "changes": changes}).to_string();
    let refused = records.call("POST", "/sync/todo", "", &body);
    assert_eq!((refused.status, &*refused.text()), (400, "invalid op \"upsert\" in change 137\n"));
    assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(records.pull("r", "tasks", "")["serverChanges"], json!([]));
    changes[137] = good;
    records.push("c", "", &json!(changes));
    let (seen, cursor) = records.pull_all("r", "tasks", "");
    assert_eq!(ids(&seen).len(), 200);
    let again = records.push("c", "", &json!(changes));
    assert_eq!(records.pull_all("r", "tasks", &cursor).0, [] as [Value; 0], "a retry changes nothing");
    assert_eq!(again["conflicts"], json!([]));
}

#[test]
fn refusals_have_their_documented_form() {
    let records = Records::new();
    for (method, path, body, status, text) in [
        ("POST", "/sync/todo", "[1", 400, "invalid JSON: "),
        ("POST", "/sync/todo", r#"{"schemaVersion":2}"#, 400, "unsupported schemaVersion 2 (max 1)"),
        (
            "POST",
            "/sync/todo",
            r#"{"changes":[{"op":"delete","table":"t","id":"i"}]}"#,
            400,
            "missing clientId",
        ),
        ("GET", "/sync/todo/pull?collection=tasks", "", 400, "missing collection or since parameter"),
        ("GET", "/sync/todo", "", 405, "method not allowed"),
        ("POST", "/sync/todo/pull", "", 405, "method not allowed"),
        ("GET", "/sync/todo/other", "", 404, "Not Found"),
        ("POST", "/sync/", "", 404, "Not Found"),
        ("GET", "/ws", "", 426, "this is a WebSocket"),
    ] {
        let refused = records.call(method, path, "", body);
        assert_eq!(refused.status, status, "{method} {path}: {}", refused.text());
        assert!(refused.text().starts_with(text), "{method} {path}: {}", refused.text());
        assert!(refused.header("content-type").unwrap().starts_with("text/plain"));
        assert_eq!(refused.text().lines().count(), 1);
    }
    let nobody = http::send(records.address(), "POST", "/sync/todo", &[], b"{}").unwrap();
    assert_eq!(nobody.status, 401);
    assert!(nobody.text().starts_with("unauthorized: "), "{}", nobody.text());
    let many = vec![json!({"table": "t", "id": "i", "op": "delete"}); 5_001];
    let refused = records.call("POST", "/sync/todo", "c", &json!({"changes": many}).to_string());
    assert_eq!(refused.status, 413, "{}", refused.text());
}

#[test]
fn a_body_that_expands_beyond_the_limit_is_refused() {
    let records = Records::new();
    let (bomb, bearer) = (http::gzip(&vec![b' '; 64 << 20]), records.bearer());
    let headers = [("Authorization", &*bearer), ("Content-Encoding", "gzip")];
    let refused = http::send(records.address(), "POST", "/sync/todo", &headers, &bomb).unwrap();
    assert_eq!(refused.status, 413, "{}", refused.text());
    let body = json!({"clientId": "c", "changes": [insert("tasks", "t1", "x")]}).to_string();
    let small = http::gzip(body.as_bytes());
    let small = http::send(records.address(), "POST", "/sync/todo", &headers, &small).unwrap();
    assert_eq!(small.status, 200, "{}", small.text());
}

#[test]
fn cursors_of_the_future_and_of_no_time_at_all() {
    let records = Records::new();
    records.push("c", "", &json!([insert("tasks", "t1", "x")]));
    let newest = records.pull("r", "tasks", "")["syncedUntil"].clone();
    let future = records.pull("r", "tasks", "2200-01-01T00:00:00Z");
    assert_eq!((&future["serverChanges"], &future["syncedUntil"]), (&json!([]), &newest));
    assert_eq!(records.pull("r", "tasks", "yesterday")["serverChanges"].as_array().unwrap().len(), 2);
    assert_eq!(
        records.push("c2", "2200-01-01T00:00:00Z", &json!([]))["serverChanges"].as_array().unwrap().len(),
        2,
        "what was never delivered is delivered"
    );
    let apps = records.call("GET", "/sync/other%20app/pull?collection=tasks&since=", "", "");
    assert_eq!(apps.json()["serverChanges"], json!([]), "an app of its own");
    let with_slash = T.replace(':', "%3A");
    assert_eq!(records.pull("r", "tasks", &with_slash)["syncedUntil"], newest);
}
