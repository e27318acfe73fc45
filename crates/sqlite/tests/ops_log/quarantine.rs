//! What is set aside, and how it comes back.

use ferry_core::ops::{
    quarantine::{counts, discard, list, next_release},
    release::{release, release_due},
};
use ferry_protocol::ops::OpResult;
use ferry_types::Reason;

use super::*;

impl Log {
    fn held(&self) -> Vec<(String, OpCode, String)> {
        let page = list(&self.sql(), None, 100).unwrap();
        page.quarantine.into_iter().map(|op| (op.id, op.code, op.raw)).collect()
    }

    fn due(&self) -> PushedOps {
        release_due(&self.sql(), &self.clocks(), &self.limits, Seq(8), 100).unwrap()
    }

    fn release(&self, id: &str) -> Option<OpResult> {
        let pushed = release(&self.sql(), id, &self.clocks(), &self.limits, Seq(8)).unwrap();
        pushed.map(|pushed| pushed.results[0].clone())
    }
}

// Verifies: OPS-10
#[test]
fn an_op_from_the_future_waits_until_its_time_comes_near() {
    let mut log = Log::new();
    log.max_skew_ms = 2_000;
    let (ahead, near) = (set("op-ahead", NOW + 4_000), set("op-near1", NOW + 2_000));
    let laptop = foreign(&format!("{:017}-0000-laptop", NOW + 5_000), "1");
    let pushed = log.push(&[&ahead, &near, &laptop]);
    let waits = quarantined(OpCode::ClockAhead);
    assert_eq!(statuses(&pushed), [waits, ACCEPTED, waits]);
    assert_eq!(pushed.results[0].release_at_ms, Some(NOW + 2_000));
    assert_eq!((pushed.next_release, pushed.quarantined), (Some(UnixMillis(NOW + 2_000)), 2));
    let again = log.push(&[&ahead]);
    assert_eq!((statuses(&again), again.quarantined, again.has_notes), (vec![waits], 0, false));
    assert_eq!(log.due().effect, None);
    log.now += 2_000;
    let released = log.due();
    assert_eq!(
        (released.results[0].seq, released.next_release),
        (Some(OpSeq(2)), Some(UnixMillis(NOW + 3_000)))
    );
    assert_eq!(released.effect.unwrap().ops[0].raw.to_string(), ahead);
    assert_eq!(statuses(&log.push(&[&ahead])), [DUPLICATE]);
    // The hub's clock is set back: what was received last holds the bound.
    log.now -= 3_600_000;
    assert_eq!(statuses(&log.push(&[&set("op-now-1", NOW + 3_500)])), [ACCEPTED]);
    log.now = NOW + 10_000;
    assert_eq!(log.due().head, OpSeq(4));
    assert_eq!((log.held().len(), next_release(&log.sql()).unwrap()), (0, None));
}

// Verifies: OPS-12
#[test]
fn a_restamped_op_takes_the_place_of_the_one_that_waits() {
    let mut log = Log::new();
    let ahead = set("op-ahead", NOW + 400_000);
    log.push(&[&ahead]);
    let restamped = |id: &str, ms: i64| set(id, ms).replace("\"base\"", "\"replaces\":\"op-ahead\",\"base\"");
    let other = Pushing { principal: "u_b", ..BY };
    assert_eq!(statuses(&log.push_as(&other, &[&restamped("op-other", NOW)])), [ACCEPTED]);
    assert_eq!(log.held().len(), 1, "it belongs to another principal");
    assert_eq!(statuses(&log.push(&[&restamped("op-fresh", NOW + 1)])), [ACCEPTED]);
    assert_eq!(log.held().len(), 0);
    // Released before the restamped one came.
    let early = set("op-early", NOW + 400_000);
    log.push(&[&early]);
    log.now += 200_000;
    let seq = log.due().head;
    let late = set("op-later", NOW).replace("\"base\"", "\"replaces\":\"op-early\",\"base\"");
    let pushed = log.push(&[&late]);
    assert_eq!((statuses(&pushed), pushed.results[0].seq), (vec![DUPLICATE], Some(seq)));
}

// Verifies: OPS-43
#[test]
fn an_unknown_op_from_before_the_horizon_waits_for_an_admin() {
    let log = Log::new();
    let known = set("op-known", NOW);
    log.push(&[&known]);
    meta::set(&log.sql(), meta::MetaKey::PurgeHlc, &at(NOW + 5, 0, "0000000000000000")).unwrap();
    let (old, other) = (set("op-old-1", NOW + 4), set("op-old-2", NOW + 4));
    let pushed = log.push(&[&known, &old, &other, &set("op-new-1", NOW + 5)]);
    let waits = quarantined(OpCode::BeforeHorizon);
    assert_eq!(statuses(&pushed), [DUPLICATE, waits, waits, ACCEPTED]);
    assert_eq!(log.due().effect, None);
    let released = log.release("op-old-1").unwrap();
    assert_eq!((released.status, released.seq), (OpStatus::Accepted, Some(OpSeq(3))));
    assert!(discard(&log.sql(), "op-old-2").unwrap());
    assert!(!discard(&log.sql(), "op-old-2").unwrap());
    assert_eq!((log.release("op-old-2"), log.held().len()), (None, 0));
}

// Verifies: OPS-07
#[test]
fn the_shim_refuses_nothing_and_loses_nothing() {
    let mut log = Log::new();
    log.limits.foreign_max_bytes = 300;
    log.limits.op_max_bytes = 300;
    let large = foreign("a", &format!("\"{}\"", "x".repeat(300)));
    let invalid = set("op-bad-1", NOW).replace("\"set\"", "\"conflict\"");
    let good = [foreign("b", "1"), foreign("c", "1")];
    let pushed = log.shim(&[&good[0], "7", "{\"op\":1}", &invalid, &large, &good[1]]);
    assert_eq!(pushed.applied(), 2);
    let held: Vec<_> = log.held().into_iter().map(|(id, code, raw)| (id.len(), code, raw)).collect();
    for expected in [
        (66, OpCode::Unreadable, "7"),
        (66, OpCode::Unreadable, "{\"op\":1}"),
        (66, OpCode::Invalid, &invalid),
        (66, OpCode::TooLarge, &large),
    ] {
        assert!(held.contains(&(expected.0, expected.1, expected.2.to_owned())), "{expected:?}");
    }
    let again = log.shim(&["7", &good[0]]);
    assert_eq!((again.applied(), again.quarantined, log.held().len()), (0, 0, 4));
    let mut by_code = counts(&log.sql()).unwrap();
    by_code.sort_by_key(|(code, _)| code.as_str());
    assert_eq!(by_code, [(OpCode::Invalid, 1), (OpCode::TooLarge, 1), (OpCode::Unreadable, 2)]);
    let id = &log.held()[0].0;
    assert_eq!(log.release(id).unwrap().status, OpStatus::Rejected, "releasing makes nothing readable");
    assert_eq!(log.held().len(), 4);
}

#[test]
fn a_full_quarantine_refuses_the_whole_request() {
    let mut log = Log::new();
    log.limits.quarantine_max_ops = 2;
    log.shim(&["1", "2"]);
    let full = log.try_push(&Pushing { via_shim: true, ..BY }, &["1", "3"]);
    match full {
        Err(ferry_sqlite::Error::Refused(error)) => assert_eq!(error.reason, Reason::QuarantineFull),
        other => panic!("{other:?}"),
    }
    assert_eq!(statuses(&log.shim(&["2"])), [quarantined(OpCode::Unreadable)]);
    log.limits.quarantine_max_ops = 10;
    log.limits.quarantine_max_bytes = 4;
    assert!(log.try_push(&Pushing { via_shim: true, ..BY }, &["333"]).is_err());
    let page = list(&log.sql(), None, 1).unwrap();
    let next = page.next.unwrap();
    let rest = list(&log.sql(), Some(&next), 10).unwrap();
    assert_eq!((page.quarantine.len(), rest.quarantine.len(), rest.next), (1, 1, None));
}
