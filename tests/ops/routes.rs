//! Paths, methods and the form of refusals.

use ferry_testkit::http;
use serde_json::json;

use super::{A, Ops, hlc, set};

// Verifies: OPS-50
#[test]
fn paths_methods_and_credentials() {
    let ops = Ops::new();
    let status = |method: &str, path: &str| ops.call_as(&ops.token, method, path, "").status;
    for path in ["/sync/push/", "/sync/pull/x", "/v1/databases/app/hephd/sync", "/v1/databases/app/ops/x"] {
        assert_eq!(status("GET", path), 404, "{path}");
    }
    for (method, path) in [("GET", "/sync/push"), ("POST", "/sync/pull"), ("PUT", "/v1/databases/-/ops")] {
        assert_eq!(status(method, path), 405, "{path}");
    }
    assert_eq!(status("OPTIONS", "/sync/push"), 204);
    for path in ["/sync/pull", "/v1/databases/app/ops", "/v1/databases/app/ops/live"] {
        let bare = http::get(ops.address(), path).unwrap();
        assert_eq!(bare.status, 401, "{path}");
    }
    let bare = http::get(ops.address(), "/sync/pull").unwrap();
    assert!(bare.header("www-authenticate").is_some_and(|ask| ask.starts_with("Basic")));
}

// Verifies: OPS-07
#[test]
fn refusals_say_what_is_wrong() {
    let ops = Ops::new();
    ops.accepted(A, &[set("op-a-0001", &hlc(0, 0, A), "node/1", "title", &json!("x"), &[])]);
    for (query, names) in [
        ("?limit=0", "limit"),
        ("?limit=5001", "limit"),
        ("?bytes=x", "bytes"),
        ("?after_seq=-1", "after_seq"),
        ("?after_seq=1e3", "after_seq"),
        ("?skip=9-3", "skip"),
        ("/live?mode=loud", "mode"),
        ("/entity", "entity"),
        ("/conflicts?status=maybe", "status"),
        ("/entities?deleted=perhaps", "deleted"),
    ] {
        let refused = ops.v1("GET", query, "");
        let error = &refused.json()["error"];
        assert_eq!((refused.status, &error["code"]), (400, &json!("bad_request")), "{query}: {error}");
        assert!(error["message"].as_str().unwrap().contains(names), "{query}: {error}");
        assert!(error["details"].is_object() && refused.header("ferry-seq") == Some("1"), "{query}: {error}");
    }
    for body in ["", "[]", "{}", r#"{"ops":{}}"#, r#"{"origin":"A","ops":[]}"#] {
        assert_eq!(ops.v1("POST", "", body).status, 400, "{body}");
    }
    for empty in ["?limit=", "?after_seq=", "/live?mode=", "/conflicts?status="] {
        let refused = ops.v1("GET", empty, "");
        assert!(refused.status == 400 && refused.text().contains("empty"), "{empty}: {}", refused.text());
    }
    // A spoke halves its batch on 413, which would not help here.
    let bearer = format!("Bearer {}", ops.token);
    let headers = [("Authorization", &*bearer), ("Content-Encoding", "gzip")];
    for body in [&b"xx"[..], b"", &http::gzip(b"{\"ops\":[]}")[..12]] {
        let refused = http::send(ops.address(), "POST", "/v1/databases/-/ops", &headers, body).unwrap();
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
    let unknown = ops.v1("POST", "?atomc=1", &super::batch(A, &[]));
    assert!(unknown.status == 400 && unknown.text().contains("atomc"), "{}", unknown.text());
    assert_eq!(ops.v1("GET", "/entity?entity=node/none", "").status, 404);
}

// Verifies: OPS-02
#[test]
fn answers_begin_with_the_head_and_reads_wait_for_a_commit() {
    let ops = Ops::new();
    let empty = ops.page("");
    assert_eq!((&empty["head"], &empty["ops"]), (&json!(0), &json!([])));
    let pushed =
        ops.v1("POST", "", &super::batch(A, &[set("op-a-0001", &hlc(0, 0, A), "n/1", "t", &json!(1), &[])]));
    assert_eq!(pushed.header("ferry-seq"), Some("1"));
    let answer = pushed.json();
    let (hub_id, epoch) = (super::text(&answer["hub_id"]), super::text(&answer["epoch"]));
    assert!(
        hub_id.len() == 32 && epoch.len() == 16 && answer["hub_time_ms"].as_i64().unwrap() > 0,
        "{answer}"
    );
    // A log is called from the beginning as its first write makes it, and looking makes none.
    assert_eq!((&empty["hub_id"], &empty["epoch"]), (&answer["hub_id"], &answer["epoch"]));
    for (method, rest, body) in [
        ("GET", "", ""),
        ("POST", "/missing", r#"{"ids":[]}"#),
        ("GET", "/entity?entity=n/1", ""),
        ("GET", "/entities", ""),
        ("GET", "/conflicts", ""),
    ] {
        let answer = ops.v1(method, rest, body);
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["hub_id"], &json["epoch"]),
            (200, &json!(hub_id), &json!(epoch)),
            "{json}"
        );
        assert_eq!((answer.header("ferry-seq"), &json["head"]), (Some("1"), &json!(1)), "{rest}");
    }
    let bearer = format!("Bearer {}", ops.token);
    let headers = [("Authorization", &*bearer), ("Ferry-Min-Seq", "2")];
    let late = http::send(ops.address(), "GET", "/v1/databases/-/ops", &headers, b"").unwrap();
    assert_eq!((late.status, &late.json()["error"]["reason"]), (503, &json!("SEQ_NOT_REACHED")));
}

// Verifies: OPS-50
#[test]
fn a_database_that_is_pushed_as_a_file_has_no_log() {
    let ops = Ops::new();
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("a.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
    ops.place.push(&path);
    let refused = ops.v1("GET", "", "");
    assert_eq!((refused.status, &refused.json()["error"]["reason"]), (409, &json!("WRONG_KIND")));
    let refused = ops.call_as(&ops.token, "POST", "/sync/push", r#"{"ops":[]}"#);
    assert!(refused.status == 409 && refused.text().contains("WRONG_KIND"), "{}", refused.text());
}
