//! Records by the command line.

use ferry_testkit::{command::Ferry, http};
use serde_json::{Value, json};

use crate::support::{FERRY, hub, options};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn person(server: &str) -> Ferry {
    let ferry = Ferry::new(FERRY, server);
    ferry.signup("ada@example.com");
    ferry.ok(&["db", "create", "app"]);
    ferry
}

// After a page synced under `--dev`, the list of its records was "(no records)": they are those of nobody in particular.
// Verifies: REC-34
#[test]
fn whose_records_there_are_is_told_and_a_mistyped_name_is_not_found() {
    let hub = options().arg("--dev").start();
    let dev = Ferry::new(FERRY, &hub.url()).env("FERRY_PASSWORD", "ferry-dev");
    dev.ok(&["login", "dev@localhost"]);
    assert!(dev.run(&["records", "list", "main", "todo", "todos"]).stderr.contains("(no records)"));
    let data = json!({"title": "milk", "createdAt": "2026-01-01T10:00:00Z"});
    let changes = json!([{"table": "todos", "id": "t1", "op": "insert", "data": data}]);
    let body = json!({"clientId": "page", "changes": changes}).to_string();
    let answer = http::send(hub.address(), "POST", "/sync/todo", &[], body.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());

    let message = dev.fails(5, &["records", "list", "main", "todo", "todos"]);
    assert!(message.contains("--owner dev"), "{message}");
    assert!(dev.ok(&["records", "owners", "main"]).starts_with("dev\t1\t1\t20"));
    assert_eq!(dev.ok(&["records", "apps", "main", "--owner", "dev"]), "todo\t1\t1\n");
    assert_eq!(dev.ok(&["records", "collections", "main", "--owner", "dev"]), "todo\ttodos\t1\t0\n");
    assert_eq!(dev.ok(&["records", "collections", "main", "other", "--owner", "dev"]), "");
    assert!(dev.ok(&["records", "list", "main", "todo", "todos", "--owner", "dev"]).starts_with("t1\t"));
    assert_eq!(json(&dev.ok(&["records", "owners", "main", "--json"]))[0]["owner"], "dev");
    for (collection, owner, wanted) in [
        ("todoz", "dev", "did you mean todo/todos?"),
        ("xyz", "dev", "there are: todo/todos"),
        ("todos", "devv", "did you mean dev?"),
    ] {
        let message = dev.fails(5, &["records", "list", "main", "todo", collection, "--owner", owner]);
        assert!(message.contains(wanted), "{message}");
    }
    // What was there and is gone is no mistake.
    let none = dev.run(&["records", "list", "main", "todo", "todos", "--owner", "dev", "--where", "title=x"]);
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""));

    // Callers without the right to list owners get no names.
    let token = dev.ok(&["db", "token", "main", "--op", "read", "--model", "records"]);
    let reader = Ferry::new(FERRY, &hub.url()).env("FERRY_SYNC_TOKEN", token.trim());
    let none = reader.run(&["records", "list", "main", "todo", "todos"]);
    assert!(none.code == Some(0) && none.stderr.contains("(no records)"), "{none:?}");
    reader.fails(4, &["records", "owners", "main"]);
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
    let incomplete = ada.run(&["records", "list", "app", "todo", "tasks", "--incomplete"]);
    assert!(incomplete.stderr.contains("(no records)"), "{}", incomplete.stderr);
    let shown = ada.ok(&["records", "get", "app", "todo", "tasks", "t1"]);
    assert!(shown.contains("title\t\"oat milk\"\t2026-01-01T10:00:09.000000000Z\ttablet"), "{shown}");
    ada.fails(5, &["records", "get", "app", "todo", "tasks", "none"]);
    // It printed nothing and ended with 0.
    ada.fails(5, &["records", "history", "app", "todo", "tasks", "none"]);
    ada.fails(5, &["records", "history", "app", "todo", "tasks", "none", "--json"]);
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
