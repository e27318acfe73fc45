//! Output for terminals: tables, and control characters escaped.

use ferry_testkit::http;
use serde_json::json;

use super::sync::ada;
use crate::support::hub;

/// Names that a client gives itself: they cleared the operator's screen, renamed its window and turned text around.
const EVIL: &str = "a\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{7f}\u{202e}b\nroot\tadmin";
const SHOWN: &str = r"a\u001b]0;owned\u0007\u001b[2J\u009b31m\u007f\u202eb\nroot\tadmin";

fn has_controls(text: &str) -> bool {
    text.chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t') || ('\u{202a}'..='\u{202e}').contains(&c))
}

/// Escape sequences of a client reached the operator's terminal through `ferry events clients` and `tail`.
// Verifies: CLI-02
#[test]
fn control_characters_in_client_names_are_escaped() {
    let hub = hub();
    let ada = ada(&hub);
    ada.ok(&["events", "create", "app", "store"]);
    let args = format!("{{\"x\":{}}}", json!(EVIL));
    let append = ["events", "append", "app", "v1.Evil", &args, "--client-id", EVIL, "--store", "store"];
    let message = ada.run(&append);
    let token = ada.ok(&["db", "token", "app", "--op", "read,write", "--model", "records"]);
    let body = json!({"clientId": "phone", "changes": [{"table": "tasks", "id": "t1", "op": "insert", "data": {"title": EVIL}}]});
    let bearer = format!("Bearer {}", token.trim());
    let pushed = http::send(
        hub.address(),
        "POST",
        "/sync/todo",
        &[("Authorization", &bearer)],
        body.to_string().as_bytes(),
    );
    let pushed = pushed.unwrap();
    let mut shown = 0;
    for arguments in [
        &["events", "clients", "app", "store"][..],
        &["events", "tail", "app", "--store", "store"],
        &["events", "tail", "app", "--store", "store", "--json"],
        &["events", "export", "app", "store"],
        &["records", "list", "app", "todo", "tasks"],
        &["records", "get", "app", "todo", "tasks", "t1"],
        &["records", "get", "app", "todo", "tasks", "t1", "--json"],
        &["records", "history", "app", "todo", "tasks", "t1"],
        &["db", "show", EVIL],
        &["push", EVIL, "app"],
        &["audit"],
    ] {
        let piped = ada.run(arguments);
        let (_, seen) = ada.on_terminal(400, arguments);
        assert!(!has_controls(&seen), "{arguments:?} on a terminal: {seen:?}");
        // What is exported is exact where no terminal is.
        if arguments.get(1) != Some(&"export") {
            assert!(!has_controls(&(piped.stdout + &piped.stderr)), "{arguments:?}");
        }
        shown += usize::from(seen.contains(SHOWN));
    }
    assert!(shown >= 3, "append {message:?}, push {} {}", pushed.status, pushed.text());
    assert!(!has_controls(&hub.log()), "{}", hub.log());
}

// Verifies: CLI-02
#[test]
fn lists_are_tables_on_a_terminal_and_tabs_in_a_pipe() {
    let hub = hub();
    let ada = ada(&hub);
    let long = "n".repeat(64);
    ada.ok(&["db", "create", &long]);
    ferry_testkit::sample::Shape::default().create(&ada.file("app.db"), 200, 1);
    ada.ok(&["push", "app.db", "app"]);
    for (arguments, headers) in [
        (&["db", "list"][..], &["ID", "NAME", "SIZE", "AGE"][..]),
        (&["session", "list"], &["ID", "DEVICE", "LOGIN"]),
        (&["org", "list"], &["ID", "NAME", "ROLE"]),
        (&["audit"], &["TIME", "ACTOR", "ACTION", "TARGET", "OUTCOME"]),
        (&["audit", "list", "--action", "database"], &["TIME", "ACTOR"]),
        (&["token", "list", "app"], &["ID", "EXPIRES"]),
    ] {
        let piped = ada.ok(arguments);
        assert!(piped.lines().all(|line| line.contains('\t')) && !piped.contains(headers[0]), "{piped}");
        let (code, seen) = ada.on_terminal(80, arguments);
        assert_eq!(code, Some(0), "{seen}");
        let lines: Vec<&str> = seen.lines().collect();
        assert!(headers.iter().all(|header| lines[0].contains(header)), "{seen}");
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{seen}");
        assert!(lines.len() > piped.lines().count(), "{seen}");
    }
    let (_, seen) = ada.on_terminal(80, &["db", "list"]);
    let row = seen.lines().find(|line| line.contains("  app ")).expect("the row of app");
    assert!(row.contains(" KB") && row.trim_end().contains(" s"), "size and age: {row}");
    assert!(seen.contains('…'), "a long name is cut: {seen}");
}
