//! The quarantine and its clocks (acceptance scenario 6, the hub's part).

use ferry_testkit::{hephd::CursorRule, wait};
use serde_json::{Value, json};

use super::{A, B, Ops, T_MS, codes, hlc, set, statuses, text};

/// The machine's time as the examples count it.
fn now_ms() -> u64 {
    u64::try_from(wait::unix_seconds()).unwrap() * 1000 - T_MS
}

fn ahead(ops: &Ops, id: &str, by_ms: u64) -> Value {
    ops.push(B, &[set(id, &hlc(now_ms() + by_ms, 0, B), "n/b", "t", &json!(id), &[])])
}

fn quarantine(ops: &Ops, admin: &str) -> Vec<Value> {
    ops.v1_as(admin, "GET", "/quarantine", "").json()["quarantine"].as_array().unwrap().clone()
}

// One device in the future poisoned all clocks.
// Verifies: OPS-10
#[test]
fn an_op_from_the_future_waits_and_is_delivered_in_its_time() {
    let ops = Ops::with(&["--ops-max-skew-ms=2000"]);
    let answer = ahead(&ops, "op-b-0001", 5_000);
    let result = &answer["results"][0];
    assert_eq!(
        (&result["status"], &result["code"]),
        (&json!("quarantined"), &json!("clock_ahead")),
        "{answer}"
    );
    assert!(result["release_at_ms"].as_i64().unwrap() > answer["hub_time_ms"].as_i64().unwrap());
    // Others go on, and their cursors are far ahead when it comes.
    for n in 0..5 {
        ops.accepted(A, &[set(&format!("op-a-{n:05}"), &hlc(n, 0, A), "n/a", "t", &json!(n), &[])]);
    }
    assert_eq!(statuses(&ahead(&ops, "op-b-0001", 5_000)), ["quarantined"], "again");
    let mut stream = ops.stream("?after_seq=5");
    stream.expect("ready");
    let (_, nudge) = stream.expect("nudge");
    assert_eq!(nudge["head"], 6, "nobody asked for it");
    let page = ops.page("?after_seq=5");
    assert_eq!(page["ops"][0]["op"]["id"], "op-b-0001");
    assert_eq!(ops.ids().len(), 6);
}

// Verifies: OPS-10
#[test]
fn what_waits_is_released_after_a_restart_though_nobody_pushes() {
    let ops = Ops::with(&["--ops-max-skew-ms=2000"]);
    ahead(&ops, "op-b-0001", 6_000);
    let ops = ops.restarted();
    assert_eq!(ops.page("")["head"], 0);
    wait::until("the release", || (ops.page("")["head"] == 1).then_some(()));
}

// Verifies: OPS-10
#[test]
fn clocks_of_foreign_ops_are_judged_only_if_they_can_be_read() {
    let ops = Ops::with(&["--ops-max-skew-ms=2000"]);
    let client = ops.hephd(CursorRule::Replaced);
    let ms = u64::try_from(wait::unix_seconds()).unwrap() * 1000;
    for (clock, is_taken) in [
        (format!("{:017}-0000-x", ms + 3_600_000), false),
        (format!("{ms:017}-0000-x"), true),
        ("zzz".to_owned(), true),
        (format!("{:012}-x", ms / 100), true),
        (format!("{:017}-x", ms * 10), true),
    ] {
        let pushed = client.push(&format!(r#"{{"ops":[{{"hlc":"{clock}"}}]}}"#));
        assert_eq!(pushed.json()["applied"], u64::from(is_taken), "{clock}");
    }
}

// Verifies: OPS-10, OPS-54
#[test]
fn an_admin_releases_or_discards() {
    let ops = Ops::new();
    let admin = ops.admin();
    let day = 24 * 3600 * 1000;
    for id in ["op-b-0001", "op-b-0002"] {
        assert_eq!(codes(&ahead(&ops, id, day)), ["clock_ahead"]);
    }
    let client = ops.hephd(CursorRule::Replaced);
    assert_eq!(client.push(r#"{"ops":[{"no":"clock"}]}"#).status, 200);
    assert_eq!(ops.v1("GET", "/quarantine", "").status, 403, "not everybody");
    let kept = quarantine(&ops, &admin);
    assert_eq!(kept.len(), 3, "{kept:?}");
    let unreadable = kept.iter().find(|op| op["code"] == "unreadable").expect("the one without a clock");
    assert_eq!(unreadable["raw"], r#"{"no":"clock"}"#);
    wait::until("the gauges", || {
        let read = |code: &str| ops.metric(&format!("ferry_ops_quarantined{{code=\"{code}\"}}"));
        (read("clock_ahead") == Some(2.0) && read("unreadable") == Some(1.0)).then_some(())
    });
    let decide = |id: &str, action: &str| {
        let id = id.replace(':', "%3A");
        let body = json!({ "action": action }).to_string();
        ops.v1_as(&admin, "POST", &format!("/quarantine/{id}"), &body)
    };
    let released = decide("op-b-0001", "release");
    assert_eq!((released.status, &released.json()["results"][0]["status"]), (200, &json!("accepted")));
    assert_eq!(decide("op-b-0002", "discard").status, 200);
    assert_eq!(decide(&text(&unreadable["id"]), "discard").status, 200);
    assert_eq!(decide("op-b-0002", "release").status, 404);
    assert_eq!(decide("op-b-0001", "burn").status, 400);
    assert_eq!((quarantine(&ops, &admin).len(), ops.ids()), (0, vec!["op-b-0001".to_owned()]));
    // What was discarded may come again.
    assert_eq!(codes(&ahead(&ops, "op-b-0002", day)), ["clock_ahead"]);
}

// Verifies: OPS-07
#[test]
fn a_full_quarantine_refuses_the_group_and_stores_nothing_of_it() {
    let ops = Ops::with(&["--ops-quarantine-max-ops=3"]);
    let client = ops.hephd(CursorRule::Replaced);
    let bad = |n: usize| format!(r#"{{"no":{n}}}"#);
    let body = |ops: &[String]| ferry_testkit::hephd::body_of(ops);
    assert_eq!(client.push(&body(&[bad(1), bad(2)])).status, 200);
    let full = client.push(&body(&[r#"{"hlc":"1"}"#.to_owned(), bad(3), bad(4)]));
    assert_eq!(full.status, 503, "{}", full.text());
    assert!(full.header("retry-after").is_some());
    assert_eq!(ops.page("")["head"], 0, "nothing of the group is half stored");
    let day = 24 * 3600 * 1000;
    assert_eq!(codes(&ahead(&ops, "op-b-0001", day)), ["clock_ahead"]);
    let op = set("op-b-0002", &hlc(now_ms() + day, 0, B), "n/b", "t", &json!(1), &[]);
    let full = ops.v1("POST", "", &super::batch(B, &[op]));
    assert_eq!((full.status, &full.json()["error"]["code"]), (503, &json!("quarantine_full")));
    assert_eq!(client.push(r#"{"ops":[{"hlc":"2"}]}"#).status, 200, "what needs no quarantine goes on");
}

// A clock that was set back, or forward by years.
// Verifies: OPS-10
#[test]
fn the_hubs_own_clock_may_jump() {
    let hour: i64 = 3_600_000;
    let ops = Ops::new();
    ops.accepted(A, &[set("op-a-0001", &hlc(now_ms(), 0, A), "n/a", "t", &json!(1), &[])]);
    // An hour back: the bound stays where it was.
    let ops = ops.restarted_with(|options| options.fault(format!("clock={}", -hour)));
    ops.accepted(A, &[set("op-a-0002", &hlc(now_ms(), 1, A), "n/a", "t", &json!(2), &["op-a-0001"])]);
    // Ten years ahead: nothing is blocked, then or when the clock is right again.
    let years = 3_650 * 24 * hour;
    let at = |mut ops: Ops| {
        ops.place.user = ferry_testkit::Session::login(ops.address(), &ops.place.user.email);
        ops.token = super::token(&ops.place, &["read", "write"], &[]);
        ops
    };
    let ops = at(ops.restarted_with(|options| options.fault(format!("clock={years}"))));
    ops.accepted(A, &[set("op-a-0003", &hlc(now_ms() + 5_000, 0, A), "n/a", "t", &json!(3), &["op-a-0002"])]);
    // It is compacted meanwhile, since all of it seems to be old; the first call may end one that was interrupted.
    let admin = ops.admin();
    for _ in 0..2 {
        assert_eq!(ops.v1_as(&admin, "POST", "/compact", "").status, 200);
    }
    assert_eq!(ops.page("?after_seq=3")["floor"], 2);
    let ops = at(ops.restarted());
    ops.accepted(A, &[set("op-a-0004", &hlc(now_ms() + 5_000, 1, A), "n/a", "t", &json!(4), &["op-a-0003"])]);
    let view = ops.v1("GET", "/entity?entity=n/a", "").json();
    assert_eq!((ops.log_from(3, "").len(), &view["fields"]["t"]), (1, &json!(4)), "{view}");
}

// Verifies: OPS-12
#[test]
fn a_restamped_op_takes_the_place_of_the_one_that_waits() {
    let ops = Ops::new();
    let admin = ops.admin();
    let day = 24 * 3600 * 1000;
    assert_eq!(codes(&ahead(&ops, "op-b-0001", day)), ["clock_ahead"]);
    let restamp = |id: &str, old: &str| {
        let mut op = set(id, &hlc(now_ms(), 0, B), "n/b", "t", &json!(1), &[]);
        op["replaces"] = json!(old);
        op
    };
    ops.accepted(B, &[restamp("op-b-0002", "op-b-0001")]);
    assert_eq!((quarantine(&ops, &admin).len(), ops.ids()), (0, vec!["op-b-0002".to_owned()]));
    // One that was released meanwhile stands already.
    assert_eq!(codes(&ahead(&ops, "op-b-0003", day)), ["clock_ahead"]);
    let release = json!({"action": "release"}).to_string();
    assert_eq!(ops.v1_as(&admin, "POST", "/quarantine/op-b-0003", &release).status, 200);
    assert_eq!(statuses(&ops.push(B, &[restamp("op-b-0004", "op-b-0003")])), ["duplicate"]);
    assert_eq!(ops.ids(), ["op-b-0002", "op-b-0003"]);
}

// The op that waited was discarded before the one in its place was refused, so that the hub had neither.
// Verifies: OPS-12, OPS-52
#[test]
fn a_restamped_op_that_is_refused_or_reaches_elsewhere_takes_no_ones_place() {
    let ops = Ops::new();
    let (admin, day) = (ops.admin(), 24 * 3600 * 1000);
    assert_eq!(codes(&ahead(&ops, "op-b-0001", day)), ["clock_ahead"]);
    ops.accepted(B, &[set("op-b-0002", &hlc(now_ms(), 1, B), "n/b", "t", &json!(1), &[])]);
    let mut refused = set("op-b-0003", &hlc(now_ms() - 5_000, 0, B), "n/b", "t", &json!(2), &["op-b-0002"]);
    refused["replaces"] = json!("op-b-0001");
    assert_eq!(codes(&ops.push(B, &[refused])), ["bad_base"]);
    assert_eq!(quarantine(&ops, &admin).len(), 1);
    let narrowed = super::token(&ops.place, &["read", "write"], &["tbl=other/"]);
    let mut elsewhere = set("op-b-0004", &hlc(now_ms(), 2, B), "other/1", "t", &json!(3), &[]);
    elsewhere["replaces"] = json!("op-b-0001");
    let pushed = ops.v1_as(&narrowed, "POST", "", &super::batch(B, &[elsewhere]));
    assert_eq!(statuses(&pushed.json()), ["accepted"], "{}", pushed.text());
    assert_eq!(quarantine(&ops, &admin).len(), 1);
}

// Verifies: OPS-43
#[test]
fn an_op_from_behind_the_horizon_resurrects_nothing() {
    let ops = Ops::with(&["--ops-retain-days=0", "--ops-horizon-days=0"]);
    let admin = ops.admin();
    ops.accepted(A, &[set("op-a-0001", &hlc(1, 0, A), "n/1", "t", &json!(1), &[])]);
    ops.accepted(A, &[super::tombstone("op-a-0002", &hlc(2, 0, A), "n/1", &["op-a-0001"])]);
    // The horizon is told by what devices have written since.
    ops.accepted(A, &[set("op-a-0003", &hlc(9, 0, A), "n/2", "t", &json!(1), &[])]);
    assert_eq!(ops.v1_as(&admin, "POST", "/compact", "").status, 200);
    assert_eq!(ops.v1("GET", "/entity?entity=n/1", "").status, 404, "forgotten");
    let late = ops.push(B, &[set("op-b-0001", &hlc(1, 0, B), "n/1", "t", &json!(2), &[])]);
    assert_eq!(codes(&late), ["before_horizon"], "{late}");
    assert_eq!(ops.v1("GET", "/entity?entity=n/1", "").status, 404);
    let body = json!({"action": "release"}).to_string();
    let released = ops.v1_as(&admin, "POST", "/quarantine/op-b-0001", &body);
    assert_eq!(statuses(&released.json()), ["accepted"], "an operator's choice");
}

// Verifies: WEB-08
#[test]
fn the_log_holds_neither_ops_nor_credentials() {
    let ops = Ops::of(super::options().env("FERRY_LOG_LEVEL", "trace").start());
    let hush = "a-value-that-nobody-else-reads";
    ops.accepted(A, &[set("op-a-0001", &hlc(1, 0, A), "n/1", "t", &json!(hush), &[])]);
    ops.push(A, &[json!({"v": 1, "id": "op-a-0002", "hush": hush}), json!(hush)]);
    let client = ops.hephd(CursorRule::Replaced);
    assert_eq!(
        client.push(&format!(r#"{{"ops":[{{"hlc":"1","x":"{hush}"}},{{"no":"{hush}"}}]}}"#)).status,
        200
    );
    assert_eq!((client.pull().status, ops.v1("GET", "/snapshot", "").status), (200, 200));
    assert_eq!(ops.v1("GET", "?after_seq=99", "").status, 409);
    let path = format!("/v1/databases/-/ops/live?access_token={}", ops.token);
    drop(
        ferry_testkit::sse::EventStream::open(ops.address(), &path, &[])
            .map_err(|refused| refused.text())
            .unwrap(),
    );
    wait::until("the last request in the log", || ops.place.hub.log().contains("/ops/live").then_some(()));
    let log = ops.place.hub.log();
    assert!(!log.contains(hush) && !log.contains(&ops.token), "{log}");
}
