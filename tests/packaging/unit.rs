//! The unit of systemd.

use std::{fs, process::Command};

use super::{deploy, run, text, tool};
use crate::support::FERRY;

/// Of `systemd-analyze security`, tenths: 2.5 at most.
const EXPOSURE_MAX: &str = "25";

// Verifies: OPR-72
#[test]
fn the_unit_gives_the_hub_what_it_needs_and_no_more() {
    let unit = text("ferry.service");
    for line in [
        "User=ferry",
        "StateDirectory=ferry",
        "StateDirectoryMode=0700",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "SystemCallFilter=@system-service",
        "LimitNOFILE=65536",
        // A mistake in the settings would be one at the next start too.
        "RestartPreventExitStatus=78",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line} is missing");
    }
    let Some(analyze) = tool("SYSTEMD_ANALYZE_BIN", "systemd-analyze") else { return };
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    run(Command::new(&analyze).args(["security", "--offline=true", &threshold]).arg(deploy("ferry.service")));
    // What it names exists here under other paths.
    let folder = tempfile::tempdir().unwrap();
    let here = unit.replace("/usr/local/bin/ferry", FERRY).replace("Documentation=", "#");
    assert_ne!(here, unit);
    fs::write(folder.path().join("ferry.service"), here).unwrap();
    let told = run(Command::new(&analyze).arg("verify").arg(folder.path().join("ferry.service")));
    assert!(!told.contains("ferry.service:"), "{told}");
}
