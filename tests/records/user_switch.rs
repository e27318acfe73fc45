//! A device whose user changes: records are neither sent to nor shown to the wrong one.

use ferry_testkit::http;
use serde_json::json;

use super::rights::Users;

const CHANGES: &str = "/v1/databases/-/records/changes";

/// Asks as `sub`, of a device that holds the records of `owner`.
fn holding(users: &Users, sub: &str, method: &str, path: &str, owner: &str, body: &str) -> http::Response {
    let bearer = format!("Bearer {}", Users::jwt(sub, 600));
    let headers = [("authorization", bearer.as_str()), ("x-client-id", "browser"), ("ferry-owner", owner)];
    http::send(users.records.address(), method, path, &headers, body.as_bytes()).unwrap()
}

// The next user of a browser got the last one's unsent rows into their account.
// Verifies: REC-65
#[test]
fn a_push_with_another_owners_name_is_refused() {
    let users = Users::new();
    let owner = |sub| {
        let answer = users.call(sub, "GET", &format!("{CHANGES}?app=todo&since=0"), "");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("ferry-owner").expect("whose records these are").to_owned()
    };
    let (ada, bob) = (owner("ada"), owner("bob"));
    assert_ne!(ada, bob);
    assert_eq!(owner("ada"), ada);

    let fields = json!({"title": {"value": "ada's", "at": "2026-01-01T10:00:00.000000000Z"}});
    let change = json!({"collection": "tasks", "id": "t1", "op": "insert", "seen": "0", "fields": fields});
    let push = json!({"app": "todo", "since": "0", "changes": [change]}).to_string();
    let stream = format!("{CHANGES}/stream?app=todo&since=0");
    for (method, path, body) in [("POST", CHANGES, push.as_str()), ("GET", stream.as_str(), "")] {
        let refused = holding(&users, "bob", method, path, &ada, body);
        assert_eq!(refused.status, 409, "{}", refused.text());
        assert_eq!(refused.json()["error"]["reason"], "OWNER_CHANGED");
    }
    let nothing = "/v1/databases/-/records/todo/tasks/t1";
    assert_eq!(users.call("bob", "GET", nothing, "").status, 404);
    assert_eq!(holding(&users, "ada", "POST", CHANGES, &ada, &push).status, 200);
    assert_eq!(users.call("ada", "GET", nothing, "").json()["data"]["title"], "ada's");
}
