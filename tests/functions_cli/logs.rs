//! `ferry logs`: console lines and failures of functions, from a hub.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};

use super::{FUNCTIONS, deploy::Deployed};

const NOISY: &str = r#"
export const noisy = query(async (ctx, { count }) => { for (let i = 0; i < count; i += 1) console.warn("line", i); return count; });
export const failing = query(async () => { throw new Error("NOT_FOUND: no such thing"); });
"#;

fn noisy() -> Deployed {
    let deployed = Deployed::new();
    deployed.project.write("functions/index.ts", &format!("{FUNCTIONS}{NOISY}"));
    assert_eq!(deployed.deploy(&[]).code, Some(0));
    deployed
}

// Verifies: FUN-45, FUN-72
#[test]
fn lines_and_failures_are_kept_with_their_request() {
    let deployed = noisy();
    assert_eq!(deployed.run("noisy", &json!({ "count": 2 })), 2);
    deployed.fails(5, &["run", "failing", "--database", "app"]);
    let shown = deployed.ok(&["logs", "--database", "app"]);
    assert!(shown.contains("warn  noisy: line 0") && shown.contains("warn  noisy: line 1"), "{shown}");
    assert!(shown.contains("warn  failing: NOT_FOUND: no such thing"), "{shown}");
    assert!(shown.contains("functions/index.ts:"), "the stack is in places of the sources: {shown}");
    let all: Value = serde_json::from_str(&deployed.ok(&["logs", "--database", "app", "--json"])).unwrap();
    let all = all.as_array().unwrap();
    assert_eq!((all.len(), &all[0]["level"], &all[0]["function"]), (3, &json!("warn"), &json!("noisy")));
    assert!(
        all[0]["requestId"].as_str().unwrap().len() > 3
            && all[0]["deployment"].as_str().unwrap().starts_with("dep_")
    );
    let since = all[1]["n"].as_u64().unwrap().to_string();
    let rest: Value =
        serde_json::from_str(&deployed.ok(&["logs", "--database", "app", "--json", "--since", &since]))
            .unwrap();
    assert_eq!(rest.as_array().unwrap().len(), 1, "{rest}");
    // Lines beyond what is kept are told to be missing.
    assert_eq!(deployed.run("noisy", &json!({ "count": 900 })), 900);
    assert_eq!(deployed.run("noisy", &json!({ "count": 900 })), 900);
    let late = deployed.output(&["logs", "--database", "app", "--since", &since]);
    assert!(late.stderr.contains("lines are missing here"), "{}", late.stderr);
}

// Verifies: FUN-72
#[test]
fn lines_are_followed_as_they_are_written() {
    let deployed = noisy();
    let mut child = deployed.spawn(&["logs", "--database", "app", "--follow", "--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(deployed.run("noisy", &json!({ "count": 3 })), 3);
    for number in 0..3 {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["text"], format!("line {number}"));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
