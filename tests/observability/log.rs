//! The log while all models run: objects, one per line, without a secret.

use std::collections::BTreeSet;

use serde_json::Value;

use super::observed;

// Verifies: OPR-83
#[test]
fn every_line_is_an_object_with_the_members_that_collectors_ask_for() {
    let log = &observed().log;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.len() > 30, "{log}");
    for line in &lines {
        let text = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("{name} of {line}"));
        let time = text("timestamp");
        assert!(time.len() == "2026-01-01T00:00:00.000000Z".len() && time.ends_with('Z'), "{line}");
        assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&text("level")), "{line}");
        assert!(!text("target").is_empty() && !text("message").is_empty(), "{line}");
    }
    // Nothing went wrong that somebody must act on.
    assert!(lines.iter().all(|line| line["level"] != "ERROR"), "{log}");
    let models: BTreeSet<&str> = lines.iter().filter_map(|line| line["target"].as_str()).collect();
    assert!(models.iter().any(|target| target.starts_with("ferry_hub")), "{models:?}");
    // The log and a trace name each other.
    let traced = lines.iter().find(|line| line["trace_id"] == super::PROXY_TRACE);
    assert_eq!(traced.expect("a request of the proxy's trace")["message"], "request");
}

// Verifies: OPR-83, WEB-08
#[test]
fn no_secret_is_in_the_log_nor_in_the_metrics() {
    let observed = observed();
    // Paths are logged, and users choose parts of them.
    for secret in observed.secrets.iter().filter(|secret| *secret != "zq-path-segment") {
        assert!(!observed.log.contains(secret.as_str()), "logged: {secret:.16}…");
    }
    for secret in &observed.secrets {
        assert!(!observed.metrics.contains(secret.as_str()), "counted: {secret:.16}…");
    }
}
