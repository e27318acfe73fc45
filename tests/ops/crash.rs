//! kill -9 at every step and under load (acceptance scenario 7, the hub's part).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use ferry_testkit::{hephd::CursorRule, http};
use serde_json::{Value, json};

use super::{A, Ops, batch, hlc, set};
use crate::support::fault_points;

fn ops_of(name: &str, count: u64) -> Vec<Value> {
    (0..count)
        .map(|n| set(&format!("{name}-{n:05}"), &hlc(n, 0, A), &format!("{name}/{n}"), "t", &json!(n), &[]))
        .collect()
}

// Verifies: OPS-02, OPS-03
#[test]
fn a_batch_is_stored_whole_or_not_at_all_wherever_the_hub_dies() {
    let mut points = fault_points("ops.");
    points.extend(["actor.commit".to_owned(), "actor.committed".to_owned()]);
    let mut ops = Ops::new();
    for point in points {
        let name = point.replace('.', "-");
        // The first write of a database, where that is the point.
        if point == "ops.created" {
            continue;
        }
        ops.accepted(A, &ops_of(&format!("before-{name}"), 1));
        ops = ops.restarted_with(|options| options.fault(format!("{point}=kill")));
        let push = ops_of(&name, 50);
        let bearer = format!("Bearer {}", ops.token);
        let path = "/v1/databases/-/ops";
        let headers = [("Authorization", &*bearer)];
        let died = http::send(ops.address(), "POST", path, &headers, batch(A, &push).as_bytes());
        assert!(died.is_err(), "{point}: acknowledged before it died");
        ops.place.hub.ended();
        ops = ops.restarted();
        let stored = ops.ids().iter().filter(|id| id.starts_with(&*name)).count();
        let expected = if point.ends_with("committed") { 50 } else { 0 };
        assert_eq!(stored, expected, "{point}");
        let again = ops.push(A, &push);
        let status = if expected == 50 { "duplicate" } else { "accepted" };
        assert!(super::statuses(&again).iter().all(|found| found == status), "{point}: {again}");
        assert_eq!(ops.ids().iter().filter(|id| id.starts_with(&*name)).count(), 50);
    }
}

// Verifies: OPS-02, OPS-30
#[test]
fn a_log_that_was_being_made_is_made_by_the_next_push() {
    let mut ops = Ops::of(super::options().fault("ops.created=kill").start());
    let bearer = format!("Bearer {}", ops.token);
    let headers = [("Authorization", &*bearer)];
    let push = batch(A, &ops_of("first", 3));
    assert!(http::send(ops.address(), "POST", "/v1/databases/-/ops", &headers, push.as_bytes()).is_err());
    ops.place.hub.ended();
    ops = ops.restarted();
    assert_eq!(ops.page("")["head"], 0);
    ops.accepted(A, &ops_of("first", 3));
    let hub_id = ops.page("")["hub_id"].clone();
    let ops = ops.restarted();
    assert_eq!((&ops.page("")["hub_id"], ops.ids().len()), (&hub_id, 3));
}

// Verifies: OPS-01, OPS-02, OPS-03
#[test]
fn no_acknowledged_op_is_lost_and_none_is_there_twice_under_kills() {
    const KILLS: usize = 6;
    const WRITERS: u64 = 4;
    let mut ops = Ops::new();
    let acknowledged: Mutex<BTreeSet<String>> = Mutex::default();
    let mut next = [0_u64; WRITERS as usize];
    for _ in 0..KILLS {
        let is_over = AtomicBool::new(false);
        let (place, acks) = (&ops, &acknowledged);
        thread::scope(|scope| {
            for (writer, next) in next.iter_mut().enumerate() {
                let is_over = &is_over;
                scope.spawn(move || {
                    let bearer = format!("Bearer {}", place.token);
                    let headers = [("Authorization", &*bearer)];
                    while !is_over.load(Ordering::SeqCst) {
                        // What was not acknowledged is sent again.
                        let push = ops_of(&format!("w{writer}-{next}"), 20);
                        let body = batch(A, &push);
                        let sent = http::send(
                            place.address(),
                            "POST",
                            "/v1/databases/-/ops",
                            &headers,
                            body.as_bytes(),
                        );
                        let Ok(answer) = sent else { continue };
                        if answer.status == 200 {
                            let ids = push.iter().map(|op| super::text(&op["id"]));
                            acks.lock().unwrap().extend(ids);
                            *next += 1;
                        }
                    }
                });
            }
            // Each round gets somewhere before it dies.
            let begun = acks.lock().unwrap().len();
            ferry_testkit::wait::until("some pushes", || {
                (acks.lock().unwrap().len() > begun + 200).then_some(())
            });
            ferry_testkit::process::kill(place.place.hub.pid());
            is_over.store(true, Ordering::SeqCst);
        });
        ops = ops.restarted();
        let mut by_id: BTreeMap<String, u64> = BTreeMap::new();
        let mut last = 0;
        for (seq, op) in ops.log_from(0, "&limit=5000") {
            assert_eq!(seq, last + 1, "without a gap");
            last = seq;
            assert!(by_id.insert(super::text(&op["id"]), seq).is_none(), "twice: {op}");
        }
        let acknowledged = acknowledged.lock().unwrap();
        let lost: Vec<&String> = acknowledged.iter().filter(|id| !by_id.contains_key(*id)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
    }
}

// Groups that were committed stay, and the client's next exchange brings the rest.
// Verifies: OPS-02, OPS-07
#[test]
fn a_shims_push_that_dies_or_is_cut_is_finished_by_the_next_one() {
    let ops = Ops::of(super::options().fault("ops.committed=kill").start());
    let all: Vec<String> = (0..3_500).map(|n| format!(r#"{{"hlc":"{n:09}"}}"#)).collect();
    let body = ferry_testkit::hephd::body_of(&all);
    let bearer = format!("Bearer {}", ops.token);
    let headers = [("Authorization", &*bearer)];
    assert!(http::send(ops.address(), "POST", "/sync/push", &headers, body.as_bytes()).is_err());
    let ops = ops.restarted();
    assert_eq!(ops.page("")["head"], 1_000);
    // A body that ends too early: what came before is stored as well.
    let client = ops.hephd(CursorRule::Replaced);
    let cut = client.push(&body[..body.len() - 40]);
    assert_eq!((cut.status, &ops.page("")["head"]), (400, &json!(3_000)), "{}", cut.text());
    let mut client = client;
    all.iter().for_each(|op| client.write(op));
    let exchange = client.sync().unwrap();
    assert_eq!(exchange.taken, 500);
    assert_eq!(ops.page("")["head"], 3_500);
}

// Verifies: OPS-02, OPS-07
#[test]
fn a_full_disk_refuses_pushes_and_reads_go_on() {
    let mut ops = Ops::new();
    ops.accepted(A, &ops_of("kept", 5));
    for point in ["ops.applied", "actor.commit"] {
        ops = ops.restarted_with(|options| options.fault(format!("{point}=full")));
        let refused = ops.v1("POST", "", &batch(A, &ops_of("lost", 5)));
        assert_eq!(
            (refused.status, &refused.json()["error"]["reason"]),
            (507, &json!("STORAGE_FULL")),
            "{point}"
        );
        assert!(refused.header("retry-after").is_some());
        let client = ops.hephd(CursorRule::Replaced);
        assert_eq!(client.push(r#"{"ops":[{"hlc":"1"}]}"#).status, 503, "{point}");
        assert_eq!((ops.ids().len(), client.pull().status), (5, 200), "{point}");
    }
}
