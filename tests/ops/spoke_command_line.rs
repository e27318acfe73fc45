//! `ferry ops` and `ferry spoke` as people and scripts call them, and the example app.

use std::path::Path;

use ferry_testkit::{command::Ferry, rpc::PASSWORD, spoke::Spoke};
use serde_json::{Value, json};

use super::{
    Ops,
    spokes::{Site, settle, spoke_options},
    token,
};
use crate::support::{FERRY, hub};

/// A person at the machine of a spoke.
fn person(spoke: &Spoke) -> impl Fn(&[&str]) -> String + use<> {
    let socket = spoke.socket().display().to_string();
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    move |words: &[&str]| {
        let words: Vec<&str> = [&["ops"], words, &["--socket", &socket]].concat();
        ferry.ok(&words)
    }
}

// Verifies: OPS-27, OPS-60
#[test]
fn the_command_line_writes_reads_syncs_and_resolves() {
    let ops = Ops::new();
    let (left, right) = (Site::new(&ops), Site::new(&ops));
    let (at_left, at_right) = (person(&left.spoke), person(&right.spoke));
    let written = at_left(&["append", "--entity", "note/1", "--kind", "create", "--value", "\"note\""]);
    let (id, hlc) = written.trim().split_once('\t').unwrap();
    assert!(id.len() == 36 && hlc.len() == 34, "{written}");
    at_left(&["append", "--entity", "note/1", "--kind", "text", "--field", "body", "--text", "Buy milk"]);
    at_left(&["append", "--entity", "note/1", "--kind", "text", "--field", "body", "--text", "Buy tea"]);
    at_left(&["append", "--entity", "note/1", "--kind", "link.add", "--field", "tag", "--to", "tag/home"]);
    settle(&[&left, &right]);
    left.go_offline();
    right.go_offline();
    at_left(&["append", "--entity", "note/1", "--kind", "set", "--field", "title", "--text", "Milk"]);
    at_right(&["append", "--entity", "note/1", "--kind", "set", "--field", "title", "--value", "\"Tea\""]);
    settle(&[&left, &right]);
    let line = at_left(&["conflicts"]);
    let fields: Vec<&str> = line.trim().split('\t').collect();
    assert_eq!(fields[1..], ["note/1", "title", "\"Milk\"", "\"Tea\""], "{line}");
    assert_eq!(at_right(&["conflicts"]), line);
    assert_eq!(at_left(&["resolve", fields[0], "--take", "loser"]), format!("resolved {}\n", fields[0]));
    assert_eq!(at_left(&["conflicts"]), "");
    assert!(at_left(&["conflicts", "--all"]).starts_with(fields[0]));
    assert!(at_left(&["sync"]).starts_with("pulled="));
    at_right(&["sync"]);
    let view: Value = serde_json::from_str(&at_right(&["get", "note/1"])).unwrap();
    assert_eq!(view["fields"]["title"], "Milk");
    assert_eq!((&view["text"]["body"], &view["links"]["tag"]), (&json!("Buy tea"), &json!(["tag/home"])));
    assert_eq!(at_right(&["list", "--prefix", "note/"]), "note/1\n");
    let status = at_right(&["status"]);
    assert!(status.contains("mode: spoke\n") && status.contains("pending: 0\n"), "{status}");
    let status: Value = serde_json::from_str(&at_right(&["status", "--json"])).unwrap();
    assert_eq!((&status["mode"], &status["auth_failed"]), (&json!("spoke"), &json!(false)));
}

// Verifies: OPS-60, OPS-62
#[test]
fn ops_come_from_a_file_and_mistakes_are_explained() {
    let spoke = spoke_options().start();
    let socket = spoke.socket().display().to_string();
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    let lines: String = (0..1500)
        .map(|n| {
            json!({ "kind": "set", "entity": format!("n/{}", n % 10), "field": "f", "value": n }).to_string()
                + "\n"
        })
        .collect();
    std::fs::write(ferry.file("ops.ndjson"), &lines).unwrap();
    let written = ferry.ok(&["ops", "append", "--file", "ops.ndjson", "--socket", &socket]);
    assert_eq!(written.lines().count(), 1500);
    let two = "{\"kind\":\"set\",\"entity\":\"n/1\",\"field\":\"f\",\"value\":1}\n{\"kind\":\"tombstone\",\"entity\":\"n/2\"}\n";
    let written =
        ferry.clone().input(two).ok(&["ops", "append", "--file", "-", "--socket", &socket, "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap()["ops"].as_array().unwrap().len(), 2);
    assert_eq!(
        ferry.ok(&["ops", "list", "--deleted", "--socket", &socket]).lines().nth(2),
        Some("n/2\tdeleted")
    );
    let fails = |code, words: &[&str]| ferry.fails(code, &[&["ops"], words, &["--socket", &socket]].concat());
    let ok = |words: &[&str]| ferry.ok(&[&["ops"], words, &["--socket", &socket]].concat());
    assert!(fails(5, &["get", "nothing"]).contains("no such entity"));
    assert!(
        fails(6, &["append", "--entity", "n/2", "--kind", "set", "--field", "f", "--value", "1"])
            .contains("deleted")
    );
    assert!(
        fails(2, &["append", "--entity", "n/2", "--kind", "set", "--field", "f", "--value", "x"])
            .contains("--text")
    );
    assert!(fails(5, &["resolve", "cf-none-at-all", "--take", "winner"]).contains("no conflict"));
    assert!(fails(6, &["sync"]).contains("--hub-url"));
    // A number below zero, and an item of a list, are values like any other.
    let append = |field: &str, words: &[&str]| {
        ok(&[&["append", "--entity", "dash/1", "--field", field], words].concat())
    };
    append("n", &["--kind", "set", "--value", "-5"]);
    append("item", &["--kind", "set", "--text", "- item"]);
    let view: Value = serde_json::from_str(&ok(&["get", "dash/1"])).unwrap();
    assert_eq!(view["fields"], json!({ "n": -5, "item": "- item" }));
    // Of other entities, since one of those is deleted.
    let right = lines.replace("n/", "w/");
    let wrong = format!("{right}{{\"kind\":\"set\",\"entity\":\"n/1\",\"value\":1}}\n");
    std::fs::write(ferry.file("wrong.ndjson"), wrong).unwrap();
    let wrong = fails(9, &["append", "--file", "wrong.ndjson"]);
    assert!(wrong.contains("lines 1001 to 1501") && wrong.contains("lines 1 to 1000 are stored"), "{wrong}");
    // Following the advice helps.
    let none = ferry.fails(7, &["ops", "status", "--socket", "none.sock"]);
    assert!(none.contains("ferry spoke --socket none.sock"), "{none}");
    let none = ferry.fails(7, &["ops", "status", "--store", "none.db"]);
    assert!(none.contains("ferry spoke --store none.db"), "{none}");
    let none = ferry.fails(7, &["ops", "status", "--socket", "none.sock", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&none).unwrap()["error"]["reason"], "NO_SPOKE");
}

#[test]
fn a_hub_is_asked_directly_without_a_spoke() {
    let ops = Ops::new();
    let ferry = Ferry::new(FERRY, &ops.place.hub.url()).env("FERRY_SYNC_TOKEN", &ops.token);
    ferry.ok(&[
        "ops", "append", "--hub", "--entity", "note/1", "--kind", "set", "--field", "title", "--text", "Milk",
    ]);
    let view: Value = serde_json::from_str(&ferry.ok(&["ops", "get", "note/1", "--hub"])).unwrap();
    assert_eq!(view["fields"]["title"], "Milk");
    assert_eq!(ferry.ok(&["ops", "list", "--hub"]), "note/1\n");
    assert_eq!(ferry.ok(&["ops", "conflicts", "--hub"]), "");
    assert!(ferry.fails(5, &["ops", "get", "note/2", "--hub"]).contains("not_found"));
    let site = Site::new(&ops);
    site.sync();
    assert_eq!(site.spoke.get("note/1")["fields"]["title"], "Milk");
    let without = Ferry::new(FERRY, &ops.place.hub.url());
    assert!(without.fails(3, &["ops", "list", "--hub"]).contains("--database"));
}

// Verifies: CLI-01
#[test]
fn a_hub_that_refuses_has_an_exit_code_of_its_own() {
    let ops = Ops::new();
    let url = format!("--hub-url={}", ops.place.hub.url());
    let reader = token(&ops.place, &["read"], &[]);
    let cases = [
        (3, "", "-", "--token-file"),
        (4, reader.as_str(), "-", "write"),
        (5, ops.token.as_str(), "nowhere", "--database"),
    ];
    for (code, token, database, advice) in cases {
        let mut options = spoke_options().arg(&url).arg(format!("--database={database}"));
        if !token.is_empty() {
            options = options.env("FERRY_SYNC_TOKEN", token);
        }
        let spoke = options.start();
        spoke.set("note/1", "title", &json!("one"));
        let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
        let told = ferry.fails(code, &["ops", "sync", "--socket", &spoke.socket().display().to_string()]);
        assert!(told.contains(advice), "{told}");
    }
}

#[test]
fn a_text_is_written_at_a_hub_with_a_login() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url()).env("FERRY_PASSWORD", PASSWORD);
    ferry.signup("you@example.com");
    ferry.ok(&["db", "create", "notes"]);
    for text in ["Buy milk", "Buy tea"] {
        let written =
            ["ops", "append", "--hub", "--database", "notes", "--entity", "note/1", "--kind", "text"];
        ferry.ok(&[&written[..], &["--field", "body", "--text", text]].concat());
    }
    let view = ferry.ok(&["ops", "get", "note/1", "--hub", "--database", "notes"]);
    assert!(view.contains("Buy tea"), "{view}");
}

/// The example app at a spoke's socket; its output.
fn tasks(spoke: &Spoke, words: &[&str]) -> String {
    let (succeeds, told) = run_tasks(spoke, words);
    assert!(succeeds, "{words:?}: {told}");
    told
}

/// Whether the example app succeeds, and what it says on stdout, else on stderr.
fn run_tasks(spoke: &Spoke, words: &[&str]) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tasks/tasks.py");
    let run = std::process::Command::new("python3")
        .arg(script)
        .args(words)
        .env("FERRY_SPOKE_SOCKET", spoke.socket())
        .output()
        .expect("python3 is there");
    let succeeds = run.status.success();
    (succeeds, String::from_utf8(if succeeds { run.stdout } else { run.stderr }).unwrap())
}

#[test]
fn the_example_keeps_a_task_list_on_two_machines() {
    let ops = Ops::new();
    let (left, right) = (Site::new(&ops), Site::new(&ops));
    let task = tasks(&left.spoke, &["add", "Buy milk"]).trim().to_owned();
    tasks(&left.spoke, &["note", &task, "From the shop 🛒"]);
    settle(&[&left, &right]);
    assert_eq!(tasks(&right.spoke, &["list"]), format!("[ ] {task}  Buy milk\n      From the shop 🛒\n"));
    left.go_offline();
    right.go_offline();
    tasks(&left.spoke, &["rename", &task, "Buy oat milk"]);
    tasks(&left.spoke, &["note", &task, "two of them"]);
    tasks(&right.spoke, &["rename", &task, "Buy tea"]);
    tasks(&right.spoke, &["done", &task]);
    settle(&[&left, &right]);
    let lost = tasks(&left.spoke, &["conflicts"]);
    assert!(lost.contains("'Buy oat milk' lost against 'Buy tea'"), "{lost}");
    tasks(&left.spoke, &["take", lost.split_whitespace().next().unwrap(), "loser"]);
    settle(&[&left, &right]);
    let list = format!("[x] {task}  Buy oat milk\n      From the shop 🛒\ntwo of them\n");
    assert_eq!(tasks(&right.spoke, &["list"]), list);
    for mistyped in
        [&["done", "nosuch"][..], &["rename", "nosuch", "x"], &["note", "nosuch", "x"], &["drop", "nosuch"]]
    {
        let (succeeds, told) = run_tasks(&right.spoke, mistyped);
        assert!(!succeeds && told.contains("no such entity"), "{told}");
    }
    assert_eq!(tasks(&right.spoke, &["list"]), list);
    tasks(&right.spoke, &["drop", &task]);
    settle(&[&left, &right]);
    assert_eq!(tasks(&left.spoke, &["list"]), "");
}
