//! Who may do what with whose records.

use ferry_testkit::{
    http,
    jwks_server::{Behaviour, JwksServer},
    jwt::{ED, GOOD},
    wait,
};
use serde_json::json;

use super::{Records, insert, token};
use crate::support::{Place, options};

// Verifies: REC-33
#[test]
fn tokens_are_limited_to_reading_and_to_collections() {
    let records = Records::new();
    records.push("c", "", &json!([insert("tasks", "t1", "x"), insert("secrets", "s1", "x")]));
    let reader = token(&records.place, &["read"], &[]);
    let push = json!({"clientId": "r", "changes": [insert("tasks", "t2", "x")]}).to_string();
    assert_eq!(records.call_as(&reader, "POST", "/sync/todo", "", &push).status, 403);
    let pull = "/sync/todo/pull?collection=tasks&since=";
    assert_eq!(records.call_as(&reader, "GET", pull, "", "").status, 200);
    let narrow = token(&records.place, &["read", "write"], &["tbl=task"]);
    assert_eq!(records.call_as(&narrow, "GET", &pull.replace("tasks", "secrets"), "", "").status, 403);
    let answer = records.call_as(&narrow, "POST", "/sync/todo", "n", "{}").json();
    let tables: Vec<_> = answer["serverChanges"].as_array().unwrap().iter().map(|c| &c["table"]).collect();
    assert!(!tables.is_empty() && tables.iter().all(|table| *table == "tasks"), "{tables:?}");
    let outside = json!({"clientId": "n", "changes": [insert("secrets", "s2", "x")]}).to_string();
    assert_eq!(records.call_as(&narrow, "POST", "/sync/todo", "", &outside).status, 403);
}

// Any user could write into any space, and every member pulled it.
// Verifies: REC-30
#[test]
fn the_owner_comes_from_the_credential_alone() {
    let server = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
    let options = options()
        .env("FERRY_JWKS_URL", server.url())
        .env("FERRY_JWT_ISSUER", "https://id.example")
        .env("FERRY_JWT_AUDIENCE", "notes")
        .env("FERRY_DEFAULT_DATABASE", "app");
    let records = Records::of(options.start());
    let now = wait::unix_seconds();
    let jwt = |sub: &str| {
        ED.token(
            &json!({"iss": "https://id.example", "sub": sub, "aud": "notes", "exp": now + 600, "iat": now}),
        )
    };
    let mut change = insert("tasks", "t1", "of bob");
    change["spaceId"] = json!("the space of ada");
    let push = json!({"clientId": "c", "changes": [change], "userId": "ada"}).to_string();
    assert_eq!(records.call_as(&jwt("bob"), "POST", "/sync/todo", "", &push).status, 200);
    let pull = "/sync/todo/pull?collection=tasks&since=";
    let of = |sub: &str| records.call_as(&jwt(sub), "GET", pull, "", "").json()["serverChanges"].clone();
    assert_eq!(of("ada"), json!([]));
    assert_eq!(of("bob")[0]["spaceId"], "the space of ada", "kept as data");
    assert_eq!(of("bob").as_array().unwrap().len(), 2);
    let admin = token(&records.place, &["read", "write", "admin"], &[]);
    let path = "/v1/databases/-/records/todo/tasks?owner=bob";
    assert_eq!(records.call(("GET", path).0, path, "", "").status, 403);
    let seen = records.call_as(&admin, "GET", path, "", "").json();
    assert_eq!(seen["records"][0]["data"]["title"], "of bob");
}

#[test]
fn a_pushed_file_holds_no_records() {
    let place = Place::new();
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("a.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
    place.push(&path);
    let bearer = format!("Bearer {}", token(&place, &["read", "write"], &[]));
    for (method, path) in [("POST", "/sync/todo"), ("GET", "/sync/todo/pull?collection=t&since=")] {
        let refused =
            http::send(place.hub.address(), method, path, &[("Authorization", &bearer)], b"{}").unwrap();
        assert_eq!(refused.status, 409, "{}", refused.text());
    }
}

#[test]
fn development_needs_no_credential() {
    let hub = options().arg("--dev").start();
    let body = json!({"clientId": "c", "changes": [insert("tasks", "t1", "x")]}).to_string();
    let answer = http::send(hub.address(), "POST", "/sync/todo", &[], body.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = http::get(hub.address(), "/v1/databases/main/records/todo/tasks/t1").unwrap();
    assert_eq!(answer.json()["data"]["title"], "x");
}
