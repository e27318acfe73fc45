//! Spokes whose clocks are wrong.

use std::{fs, path::PathBuf};

use ferry_testkit::wait;
use serde_json::json;
use tempfile::TempDir;

use super::{
    Ops,
    spokes::{Site, assert_equal, raw_ops, settle},
};

/// Ten years, in milliseconds.
const TEN_YEARS_MS: i64 = 3_652 * 86_400_000;

/// A clock that can be set.
struct SettableClock {
    file: PathBuf,
    _folder: TempDir,
}

impl SettableClock {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { file: folder.path().join("clock"), _folder: folder }
    }

    /// Sets it so far ahead.
    fn set(&self, ms: i64) {
        fs::write(&self.file, ms.to_string()).unwrap();
    }

    /// A spoke that reads it, and has not met its hub yet.
    fn site(&self, ops: &Ops) -> Site {
        Site::offline(ops, |options| {
            options.env("FERRY_FAULT", &format!("clock=file:{}", self.file.display()))
        })
    }
}

fn hlc_ms(raw: &str) -> u64 {
    let op: serde_json::Value = serde_json::from_str(raw).unwrap();
    u64::from_str_radix(&op["hlc"].as_str().unwrap()[..12], 16).unwrap()
}

// Verifies: OPS-11, OPS-12
#[test]
fn a_spoke_ten_years_ahead_repairs_its_ops_and_goes_on_with_the_hubs_time() {
    let ops = Ops::new();
    let clock = SettableClock::new();
    clock.set(TEN_YEARS_MS);
    let (wrong, right) = (clock.site(&ops), Site::new(&ops));
    let first = wrong.spoke.set("note/1", "title", &json!("one"));
    let second = wrong.spoke.set("note/1", "title", &json!("two"));
    right.spoke.set("note/2", "title", &json!("other"));
    settle(&[&wrong, &right]);
    let state = assert_equal(&ops, &[&wrong, &right]);
    assert_eq!(state["note/1"]["fields"]["title"], "two");
    assert_eq!(state["note/1"]["conflicts"], json!([]));
    let log = raw_ops(&right.spoke.store());
    let now_ms = wait::unix_seconds().unsigned_abs() * 1000;
    for (id, raw) in &log {
        assert!(hlc_ms(raw) < now_ms + 600_000, "{raw}");
        assert!(*id != first && *id != second, "{raw}");
    }
    let status = wrong.spoke.status();
    assert_eq!((&status["pending"], &status["problems"]), (&json!(0), &json!([])));
    assert!(status["clock_offset_ms"].as_i64().unwrap() < -TEN_YEARS_MS + 600_000, "{status}");
    // What it writes from now on needs no repair.
    let third = wrong.spoke.set("note/1", "title", &json!("three"));
    settle(&[&wrong, &right]);
    assert!(raw_ops(&right.spoke.store()).contains_key(&third));
    assert_eq!(right.spoke.get("note/1")["fields"]["title"], "three");
}

// Verifies: OPS-10, OPS-12
#[test]
fn an_op_a_little_ahead_is_repaired_or_released_and_reaches_cursors_far_beyond() {
    let ops = Ops::with(&["--ops-max-skew-ms=2000"]);
    let clock = SettableClock::new();
    clock.set(4_000);
    let (ahead, right) = (clock.site(&ops), Site::new(&ops));
    ahead.spoke.set("note/1", "title", &json!("ahead"));
    ahead.sync();
    for count in 0..20 {
        right.spoke.set("note/2", "count", &json!(count));
    }
    right.sync();
    wait::until("the op that was ahead is everywhere", || {
        ahead.sync();
        right.sync();
        (right.spoke.get("note/1")["fields"]["title"] == "ahead").then_some(())
    });
    ahead.sync();
    let state = assert_equal(&ops, &[&ahead, &right]);
    assert_eq!(state["note/2"]["fields"]["count"], 19);
    assert_eq!(ahead.spoke.status()["pending"], 0);
}

// Verifies: OPS-11
#[test]
fn a_spoke_whose_clock_was_set_back_to_1970_keeps_writing_in_order() {
    let ops = Ops::new();
    let clock = SettableClock::new();
    clock.set(0);
    let (wrong, right) = (clock.site(&ops), Site::new(&ops));
    wrong.spoke.set("note/1", "title", &json!("before"));
    settle(&[&wrong, &right]);
    wrong.go_offline();
    clock.set(-200 * TEN_YEARS_MS);
    wrong.spoke.set("note/1", "title", &json!("after"));
    wrong.spoke.set("note/1", "title", &json!("last"));
    settle(&[&wrong, &right]);
    let state = assert_equal(&ops, &[&wrong, &right]);
    assert_eq!(state["note/1"]["fields"]["title"], "last");
    assert_eq!(state["note/1"]["conflicts"], json!([]));
}
