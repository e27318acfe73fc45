//! Records by the command line.

use ferry_testkit::{command::Ferry, http};
use serde_json::{Value, json};

use crate::support::{FERRY, hub};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn person(server: &str) -> Ferry {
    let ferry = Ferry::new(FERRY, server);
    ferry.signup("ada@example.com");
    ferry.ok(&["db", "create", "app"]);
    ferry
}

#[test]
fn records_are_read_exported_and_imported() {
    let (one, other) = (hub(), hub());
    let ada = person(&one.url());
    assert!(ada.run(&["records", "list", "app", "todo", "tasks"]).stderr.contains("(no records)"));
    let token = ada.ok(&["db", "token", "app", "--op", "read", "--op", "write", "--model", "records"]);
    let bearer = format!("Bearer {}", token.trim());
    let push = |client: &str, changes: Value| {
        let body = json!({"clientId": client, "changes": changes}).to_string();
        let headers = [("Authorization", &*bearer)];
        let answer = http::send(one.address(), "POST", "/sync/todo", &headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let data = json!({"title": "milk", "n": 9_007_199_254_740_993_u64, "createdAt": "2026-01-01T10:00:00Z"});
    push("phone", json!([{"table": "tasks", "id": "t1", "op": "insert", "data": data}]));
    push("phone", json!([{"table": "tasks", "id": "t2", "op": "insert", "data": {"title": "bread"}}]));
    let title = |value: &str, at: &str| json!([{"table": "tasks", "id": "t1", "op": "update", "fields": {"title": {"value": value, "at": at}}}]);
    push("tablet", title("oat milk", "2026-01-01T10:00:09Z"));
    push("phone", title("soy milk", "2026-01-01T10:00:05Z"));

    let listed = ada.ok(&["records", "list", "app", "todo", "tasks", "--where", "title=oat milk"]);
    assert!(listed.starts_with("t1\t{") && listed.contains("9007199254740993"), "{listed}");
    assert_eq!(
        json(&ada.ok(&["records", "list", "app", "todo", "tasks", "--json"])).as_array().unwrap().len(),
        2
    );
    let shown = ada.ok(&["records", "get", "app", "todo", "tasks", "t1"]);
    assert!(shown.contains("title\t\"oat milk\"\t2026-01-01T10:00:09.000000000Z\ttablet"), "{shown}");
    ada.fails(5, &["records", "get", "app", "todo", "tasks", "none"]);
    ada.fails(2, &["records", "list", "app", "todo", "tasks", "--where", "title"]);
    let history = ada.ok(&["records", "history", "app", "todo", "tasks", "t1"]);
    assert!(history.lines().next().unwrap().ends_with("\ttablet\tupdate\ttitle\t\"oat milk\""), "{history}");
    let conflicts = ada.ok(&["records", "conflicts", "app"]);
    assert!(conflicts.contains("\"soy milk\" of phone lost against \"oat milk\" of tablet"), "{conflicts}");
    assert!(ada.run(&["records", "conflicts", "app", "--state", "resolved"]).stderr.contains("(no resolved"));

    let file = ada.file("records.ndjson");
    let path = file.to_str().unwrap();
    assert!(ada.ok(&["records", "export", "app", path]).starts_with("exported 2 records to "));
    let grace = person(&other.url());
    assert_eq!(grace.ok(&["records", "import", "app", path]), "imported 2 records\n");
    assert_eq!(grace.ok(&["records", "get", "app", "todo", "tasks", "t1"]), shown, "times and writers too");
    assert_eq!(json(&grace.ok(&["records", "import", "app", path, "--replace", "--json"]))["records"], 2);
    // An administrator reads whoever's.
    let header = std::fs::read_to_string(&file).unwrap();
    let header = json(header.lines().next().unwrap());
    let owner = ["records", "list", "app", "todo", "tasks", "--owner", header["owner"].as_str().unwrap()];
    assert_eq!(ada.ok(&owner).lines().count(), 2);
    let guest = Ferry::new(FERRY, &one.url()).env("FERRY_SYNC_TOKEN", token.trim());
    assert_eq!(guest.ok(&["records", "list", "-", "todo", "tasks"]).lines().count(), 2);
    guest.fails(4, &["records", "import", "-", path]);
    guest.fails(4, &["records", "list", "-", "todo", "tasks", "--owner", "somebody"]);
}
