//! Rights at the record endpoints.

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

/// One database of many users, who come with JWTs.
pub(super) struct Users {
    pub(super) records: Records,
    pub(super) issuer: JwksServer,
}

impl Users {
    pub(super) fn new() -> Self {
        let issuer = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
        let options = options()
            .env("FERRY_JWKS_URL", issuer.url())
            .env("FERRY_JWT_ISSUER", "https://id.example")
            .env("FERRY_JWT_AUDIENCE", "notes")
            .env("FERRY_DEFAULT_DATABASE", "app");
        Self { records: Records::at(Place::under(options)), issuer }
    }

    pub(super) fn jwt(sub: &str, seconds: i64) -> String {
        let now = wait::unix_seconds();
        ED.token(&json!({
            "iss": "https://id.example", "sub": sub, "aud": "notes", "exp": now + seconds, "iat": now,
        }))
    }

    pub(super) fn call(&self, sub: &str, method: &str, path: &str, body: &str) -> http::Response {
        self.records.call_as(&Self::jwt(sub, 600), method, path, "phone", body)
    }
}

// Any user could write into any space, and every member pulled it.
// Verifies: REC-30
#[test]
fn the_owner_comes_from_the_credential_alone() {
    let users = Users::new();
    let mut change = insert("tasks", "t1", "of bob");
    change["spaceId"] = json!("the space of ada");
    let push = json!({"clientId": "c", "changes": [change], "userId": "ada"}).to_string();
    assert_eq!(users.call("bob", "POST", "/sync/todo", &push).status, 200);
    let pull = "/sync/todo/pull?collection=tasks&since=";
    let of = |sub: &str| users.call(sub, "GET", pull, "").json()["serverChanges"].clone();
    assert_eq!(of("ada"), json!([]));
    assert_eq!(of("bob")[0]["spaceId"], "the space of ada", "kept as data");
    assert_eq!(of("bob").as_array().unwrap().len(), 2);
    let records = &users.records;
    let admin = token(&records.place, &["read", "write", "admin"], &[]);
    let path = "/v1/databases/-/records/todo/tasks?owner=bob";
    assert_eq!(records.call("GET", path, "", "").status, 403);
    let seen = records.call_as(&admin, "GET", path, "", "").json();
    assert_eq!(seen["records"][0]["data"]["title"], "of bob");
}

// A 401 while the key server is away would stop old clients for good.
#[test]
fn a_key_server_that_is_away_is_told_from_a_bad_credential() {
    let users = Users::new();
    users.issuer.behave(Behaviour::Refuse);
    let refused = users.call("bob", "POST", "/sync/todo", "{}");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    let expired = users.records.call_as("no token", "POST", "/sync/todo", "c", "{}");
    assert_eq!(expired.status, 401);
    assert!(expired.text().starts_with("unauthorized: "), "{}", expired.text());
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
