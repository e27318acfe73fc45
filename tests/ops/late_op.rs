//! An op that was written offline and arrives late is delivered to everybody (acceptance scenario 1).

use std::collections::BTreeSet;

use ferry_testkit::{
    hephd::{CursorRule, Exchange, HephdClient, ops_of},
    rng::Rng,
};
use serde_json::json;

use super::{A, B, Ops, hlc, set};

fn foreign(clock: &str, text: &str) -> String {
    format!(r#"{{"hlc":"{clock}","op":"node.set","text":"{text}"}}"#)
}

// The table of section 3.1: a cursor that is a clock never saw b again.
// Verifies: OPS-01
#[test]
fn the_late_op_is_behind_every_cursor() {
    let ops = Ops::new();
    ops.accepted(A, &[set("op-a-0010", &hlc(10_000, 0, A), "node/1", "title", &json!("a"), &[])]);
    let first = ops.page("?after_seq=0");
    assert_eq!((&first["next"], &first["next_id"]), (&json!(1), &json!("op-a-0010")));
    let late = ops.accepted(B, &[set("op-b-0005", &hlc(5_000, 0, B), "node/2", "title", &json!("b"), &[])]);
    assert_eq!(late["results"][0]["seq"], 2);
    let second = ops.page("?after_seq=1&after_id=op-a-0010");
    assert_eq!(second["ops"][0]["op"]["id"], "op-b-0005");
    assert_eq!(ops.page("?after_seq=2")["ops"], json!([]), "once");
}

// Verifies: OPS-01, OPS-05
#[test]
fn the_late_op_reaches_unmodified_clients_of_either_cursor_rule() {
    for rule in [CursorRule::Replaced, CursorRule::OnlyIfGreater] {
        let ops = Ops::new();
        let (mut a, mut b) = (ops.hephd(rule), ops.hephd(rule));
        b.write(&foreign("00000000000000005-0000-b", "b"));
        a.write(&foreign("00000000000000010-0000-a", "a"));
        let exchange = a.sync().unwrap();
        assert_eq!((exchange.pulled, exchange.taken), (0, 1));
        assert_eq!(a.sync().unwrap().pulled, 1, "its own echo");
        assert_eq!(a.cursor, "00000000000000010-0000-a");
        assert_eq!(b.sync().unwrap(), Exchange { pulled: 1, applied: 1, pushed: 2, taken: 1 });
        assert_eq!(a.sync().unwrap().applied, 1, "{rule:?}");
        assert_eq!(a.ops(), b.ops());
        // It comes again at most until something newer is there, and changes nothing.
        a.write(&foreign("00000000000000020-0000-a", "c"));
        a.sync_until_quiet(5);
        b.sync_until_quiet(5);
        assert_eq!(a.ops(), b.ops());
    }
}

/// A client beside others: how it ends is compared with all that was written.
struct Peer {
    client: HephdClient,
    clock: u64,
    written: u64,
}

/// The greatest clock in a client's store.
fn seen_ms(client: &HephdClient) -> u64 {
    client.ops().last().map_or(0, |op| op[8..25].parse().unwrap())
}

/// One random schedule: clients write with clocks that jump, exchange at random times, and at the end until nothing is new.
fn schedule(ops: &Ops, seed: u64) {
    let mut rng = Rng::new(seed);
    let rules = [CursorRule::Replaced, CursorRule::OnlyIfGreater];
    let mut peers: Vec<Peer> = (0..2 + rng.below(2))
        .map(|_| Peer {
            client: ops.hephd(rules[usize::try_from(rng.below(2)).unwrap()]),
            clock: 1_000 + rng.below(1_000),
            written: 0,
        })
        .collect();
    let mut all = BTreeSet::new();
    for step in 0..6 + rng.below(8) {
        let at = usize::try_from(rng.below(peers.len() as u64)).unwrap();
        let peer = &mut peers[at];
        if rng.below(3) > 0 {
            // Clocks of devices are apart by much more than their edits; what a device has seen its clock passes.
            peer.clock = (peer.clock + rng.below(400)).max(seen_ms(&peer.client) + 1);
            peer.written += 1;
            let op =
                foreign(&format!("{:017}-{:04}-{at}", peer.clock, peer.written), &format!("{seed} {step}"));
            peer.client.write(&op);
            all.insert(op);
        } else {
            peer.client.sync().unwrap_or_else(|refused| panic!("seed {seed}: {}", refused.text()));
        }
    }
    // All that is left is pushed, then pulled, in finitely many exchanges.
    for _ in 0..2 {
        for peer in &mut peers {
            peer.client.sync_until_quiet(3 * all.len() + 10);
        }
    }
    for peer in &peers {
        let held: BTreeSet<String> = peer.client.ops().into_iter().collect();
        assert_eq!(held, all, "seed {seed}, {:?}", peer.client.cursor);
    }
}

// Verifies: OPS-01, OPS-05
#[test]
fn random_schedules_leave_every_client_with_every_op() {
    for page_bytes in ["1", "200", "1000000"] {
        let ops = Ops::with(&["--ops-shim-page-bytes", page_bytes]);
        let admin = ops.admin();
        for seed in 0..25 {
            schedule(&ops, seed);
            let body = json!({"policy": "discard", "confirm": "app"}).to_string();
            let emptied = ops.v1_as(&admin, "POST", "/epoch", &body);
            assert_eq!(
                (emptied.status, ops_of(&ops.hephd(CursorRule::Replaced).pull().body).len()),
                (200, 0)
            );
        }
    }
}

// Verifies: OPS-05, OPS-08
#[test]
fn every_page_budget_brings_every_op() {
    for page_bytes in ["1", "60", "300", "1000000"] {
        let ops = Ops::with(&["--ops-shim-page-bytes", page_bytes]);
        let mut writer = ops.hephd(CursorRule::OnlyIfGreater);
        // Clocks that fall: no answer may end before one that is greater than the cursor.
        for n in (0..12).rev() {
            let op = foreign(&format!("{:017}-0000-w", 100 + n), "x");
            assert_eq!(writer.push(&format!("{{\"ops\":[{op}]}}")).status, 200);
        }
        for rule in [CursorRule::Replaced, CursorRule::OnlyIfGreater] {
            let mut reader = ops.hephd(rule);
            reader.sync_until_quiet(40);
            assert_eq!(reader.ops().len(), 12, "{page_bytes} {rule:?}");
        }
        writer.sync_until_quiet(40);
        assert_eq!(writer.ops().len(), 12);
    }
}
