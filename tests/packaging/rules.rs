//! Alert rules: each is one that Prometheus takes, and has a section that says what to do. That the metrics exist is tested
//! beside the list of them.

use std::{fs, path::Path, process::Command};

use super::{deploy, run, text, tool};

// Verifies: OPR-82
#[test]
fn every_alert_says_what_to_do() {
    let rules = text("alerts.yml");
    let names: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 8, "{names:?}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/alerts.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(sections, names, "docs/alerts.md has the alerts in their order");
    assert_eq!(rules.matches("summary: ").count(), names.len());
}

// Verifies: OPR-82
#[test]
fn prometheus_takes_the_rules() {
    if let Some(promtool) = tool("PROMTOOL_BIN", "promtool") {
        run(Command::new(promtool).args(["check", "rules"]).arg(deploy("alerts.yml")));
    }
}
