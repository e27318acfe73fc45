//! Answers that leave compressed are those that leave plain, to their end.

use ferry_testkit::{
    http::{self, gunzip},
    page_bodies::unzstd,
};
use rusqlite::Connection;
use serde_json::json;

use crate::{
    events,
    ops::{self, Ops, set},
    records,
    support::{Place, options},
};

/// Asks for it plain and compressed; all of it must come each time. With how the answers were coded.
fn alike(place: &Place, token: &str, path: &str) -> Vec<String> {
    let bearer = format!("Bearer {token}");
    let get = |coding: &str| {
        let headers = [("Authorization", &*bearer), ("Accept-Encoding", coding)];
        http::send(place.hub.address(), "GET", path, &headers, b"")
            .unwrap_or_else(|error| panic!("{path} with {coding} broke off: {error}"))
    };
    let plain = get("identity");
    assert!(plain.status == 200 && plain.body.len() > 4096, "{path}: {} {}", plain.status, plain.body.len());
    let whole = |coding: &str| {
        let packed = get(coding);
        assert_eq!(packed.status, 200, "{path} with {coding}");
        let found = packed.header("content-encoding").unwrap_or_default().to_owned();
        let body = match &*found {
            "gzip" => gunzip(&packed.body),
            "zstd" => unzstd(&packed.body),
            _ => packed.body,
        };
        // A page tells the time.
        assert_eq!(body.len(), plain.body.len(), "{path} with {coding}");
        found
    };
    ["gzip", "zstd"].map(whole).into()
}

// The body of an export was asked for more behind its end, and that panicked: nobody who takes gzip or zstd got one.
// Verifies: REC-50, EVT-46, OPS-40
#[test]
fn answers_are_compressed_to_their_end() {
    let place = Place::of(options().start());
    let address = place.hub.address();
    let text = "some words that are compressed well ".repeat(40);
    let put = |token: &str, method: &str, path: &str, body: &str| {
        let bearer = format!("Bearer {token}");
        let put = http::send(address, method, path, &[("Authorization", &bearer)], body.as_bytes()).unwrap();
        assert!(put.status < 300, "{path}: {}", put.text());
    };
    let records = records::token(&place, &["read", "write"], &[]);
    let events = events::token(&place, &["read", "write"]);
    for n in 0..200 {
        let body = json!({"text": text}).to_string();
        put(&records, "PUT", &format!("/v1/databases/-/records/todo/tasks/t{n}"), &body);
    }
    let event = json!({"name": "v1.Done", "args": {"text": text}});
    let body = json!({"store": "app", "parentSeqNum": null, "clientId": "c", "sessionId": "s",
                      "events": vec![event; 100]});
    put(&events, "POST", "/v1/databases/-/events", &body.to_string());
    let both = ["gzip", "zstd"];
    for path in ["/export", "/changes?app=todo", "/todo/tasks"] {
        assert_eq!(alike(&place, &records, &format!("/v1/databases/-/records{path}")), both, "{path}");
    }
    alike(&place, &events, "/v1/databases/-/events?store=app&after=0");
}

// Verifies: PAG-25
#[test]
fn a_file_is_compressed_to_its_end() {
    let place = Place::of(options().start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                INSERT INTO t SELECT hex(zeroblob(1000)) FROM n";
    Connection::open(&file).unwrap().execute_batch(&format!("CREATE TABLE t(x); {rows}")).unwrap();
    place.push(&file);
    let path = format!("/v1/databases/{}/file", place.database);
    // Files leave by zstd alone.
    assert_eq!(alike(&place, &place.pull_token(), &path), ["", "zstd"]);
}

// Verifies: OPS-40
#[test]
fn a_log_is_compressed_to_its_end() {
    let ops = Ops::new();
    let text = json!("some words that are compressed well ".repeat(40));
    let batch: Vec<_> = (0..100)
        .map(|n| set(&format!("op-a-{n:05}"), &ops::hlc(n, 0, ops::A), &format!("n/{n}"), "f", &text, &[]))
        .collect();
    ops.accepted(ops::A, &batch);
    for path in ["ops", "ops/snapshot"] {
        assert_eq!(
            alike(&ops.place, &ops.token, &format!("/v1/databases/-/{path}")),
            ["gzip", "zstd"],
            "{path}"
        );
    }
}
