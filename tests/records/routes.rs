//! Paths, methods and the form of refusals (records specification, 2.2, 2.7, 2.8).

use ferry_testkit::http;
use serde_json::json;

use super::{Records, insert};

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

/// Every endpoint, with the methods that it takes.
const ENDPOINTS: &[(&str, &str)] = &[
    ("/sync/todo", "POST, OPTIONS"),
    ("/sync/todo/pull", "GET, OPTIONS"),
    ("/sync/todo/stream", "GET, OPTIONS"),
    ("/ws", "GET, OPTIONS"),
    ("/ws/todo", "GET, OPTIONS"),
    ("/v1/databases/-/records/changes", "GET, POST, OPTIONS"),
    ("/v1/databases/-/records/changes/stream", "GET, OPTIONS"),
    ("/v1/databases/-/records/conflicts", "GET, OPTIONS"),
    ("/v1/databases/-/records/conflicts/1/resolve", "POST, OPTIONS"),
    ("/v1/databases/-/records/export", "GET, OPTIONS"),
    ("/v1/databases/-/records/import", "POST, OPTIONS"),
    ("/v1/databases/-/records/devices", "GET, OPTIONS"),
    ("/v1/databases/-/records/devices/phone", "DELETE, OPTIONS"),
    ("/v1/databases/-/records/owners/ada", "DELETE, OPTIONS"),
    ("/v1/databases/-/records/owners", "GET, OPTIONS"),
    ("/v1/databases/-/records/apps", "GET, OPTIONS"),
    ("/v1/databases/-/records/collections", "GET, OPTIONS"),
    ("/v1/databases/-/records/todo/tasks", "GET, OPTIONS"),
    ("/v1/databases/-/records/todo/tasks/t1", "GET, PUT, PATCH, DELETE, OPTIONS"),
    ("/v1/databases/-/records/todo/tasks/t1/history", "GET, OPTIONS"),
];

#[test]
fn a_known_path_names_the_methods_that_it_takes() {
    let records = Records::new();
    for (path, allow) in ENDPOINTS {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            // Also for somebody without a credential: what a path takes is no secret.
            let refused = http::send(records.address(), method, path, &[], b"").unwrap();
            assert_eq!((refused.status, refused.header("allow")), (405, Some(*allow)), "{method} {path}");
            if method != "HEAD" && path.starts_with("/v1/") {
                let error = &refused.json()["error"];
                assert_eq!(
                    (&error["code"], &error["reason"]),
                    (&json!("method_not_allowed"), &json!("METHOD_NOT_ALLOWED"))
                );
                assert!(error["message"].as_str().unwrap().contains(allow), "{error}");
            }
        }
        let options = http::send(records.address(), "OPTIONS", path, &[], b"").unwrap();
        assert_eq!((options.status, options.header("allow")), (204, Some(*allow)), "OPTIONS {path}");
    }
}

#[test]
fn what_is_no_path_is_not_found_whatever_the_method() {
    let records = Records::new();
    let v1 = "/v1/databases/-/records";
    for method in ["GET", "POST", "DELETE", "OPTIONS"] {
        for path in [
            "/sync/",
            "/sync//pull",
            "/sync/todo/",
            "/sync/todo/other",
            "/sync/todo/pull/x",
            "/ws/",
            "/ws/todo/x",
            "/sync/%ff",
        ] {
            let missing = records.call(method, path, "", "");
            assert_eq!((missing.status, missing.text().trim_end()), (404, "Not Found"), "{method} {path}");
        }
        for rest in [
            "",
            "/",
            "/todo",
            "/changes/x",
            "/tasks",
            "/conflicts/1",
            "/export/x/y",
            "/todo/tasks/t1/x",
            "/todo/tasks/t1/history/x",
        ] {
            let missing = records.call(method, &format!("{v1}{rest}"), "", "");
            assert_eq!(
                (missing.status, &missing.json()["error"]["code"]),
                (404, &json!("not_found")),
                "{method} {rest}"
            );
        }
    }
}

#[test]
fn a_preflight_is_answered_for_listed_origins() {
    let records = Records::with(&["--cors-origins=https://app.example"]);
    let headers = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST")];
    for path in ["/sync/todo", "/v1/databases/-/records/changes"] {
        let answer = http::send(records.address(), "OPTIONS", path, &headers, &[]).unwrap();
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        let allowed = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        for name in ["authorization", "content-type", "x-client-id", "last-event-id"] {
            assert!(allowed.contains(name), "{allowed}");
        }
    }
    let body = json!({"clientId": "c", "changes": [insert("tasks", "t1", "x")]}).to_string();
    let bearer = records.bearer();
    let headers = [("Origin", "https://app.example"), ("Authorization", &bearer)];
    let answer = http::send(records.address(), "POST", "/sync/todo", &headers, body.as_bytes()).unwrap();
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("https://app.example"))
    );
}
