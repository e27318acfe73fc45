//! Manual pages and completions.

use std::{collections::BTreeSet, process::Command};

use ferry_testkit::command::{Ferry, names};

use super::{run, tool};
use crate::support::FERRY;

// Verifies: OPR-75
#[test]
fn every_command_has_a_manual_page_that_renders() {
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    ferry.ok(&["man", "man1"]);
    let told: serde_json::Value = serde_json::from_str(&ferry.ok(&["man", "man1", "--json"])).unwrap();
    assert_eq!(told["dir"], "man1");
    let pages: BTreeSet<String> = names(&ferry.file("man1")).into_iter().collect();
    assert!(pages.len() > 80, "{} pages are few", pages.len());
    for page in
        ["ferry.1", "ferry-serve.1", "ferry-db-create.1", "ferry-health.1", "ferry-admin-user-create.1"]
    {
        assert!(pages.contains(page), "{page} is missing: {pages:?}");
    }
    let serve = std::fs::read_to_string(ferry.file("man1/ferry-serve.1")).unwrap();
    assert!(serve.contains("trusted") && serve.contains("Examples"), "{serve}");
    let Some(groff) = tool("GROFF_BIN", "groff") else { return };
    for page in &pages {
        let path = ferry.file(&format!("man1/{page}"));
        let told = run(Command::new(&groff).args(["-k", "-man", "-Tutf8", "-ww", "-z"]).arg(&path));
        assert_eq!(told, "", "{page}");
    }
}

// Verifies: OPR-75
#[test]
fn shells_read_the_completions() {
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    for (shell, check) in [("bash", &["-n"][..]), ("zsh", &["-n"]), ("fish", &["--no-execute"])] {
        let script = ferry.ok(&["completions", shell]);
        assert!(script.contains("trusted-proxies"), "{shell}: {script}");
        let file = ferry.file(shell);
        std::fs::write(&file, script).unwrap();
        if let Some(program) = tool(&format!("{}_BIN", shell.to_uppercase()), shell) {
            run(Command::new(program).args(check).arg(&file));
        }
    }
}
