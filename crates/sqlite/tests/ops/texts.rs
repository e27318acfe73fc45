//! Texts.

use ferry_core::ops::{StoreRole, merge};
use ferry_protocol::ops::{FerryOp, OpCode, OpKind};
use ferry_types::{Hlc, OriginId};

use super::{
    orders::{Random, base64, text_value},
    store::{Pushed, Store, ferry},
};

fn text(id: &str, ms: u64, origin: u64, value: &str, base: &[&str]) -> String {
    let op = FerryOp {
        id: id.to_owned(),
        hlc: Hlc { ms, counter: 0, origin: OriginId(origin) },
        origin: OriginId(origin),
        kind: OpKind::Text,
        entity: Some("node/1".into()),
        field: Some("body".into()),
        value: Some(value.to_owned()),
        to: None,
        base: base.iter().map(|id| (*id).to_owned()).collect(),
        removes: Vec::new(),
        replaces: None,
        merged: Vec::new(),
        merged_hlc: Vec::new(),
    };
    op.encode()
}

/// Example E7: x, then y and z on it at the same time.
const X: &str = "\"AQEBAAQBAXQIQnV5IG1pbGsA\"";
const Y: &str = "\"AQEBCEQBAAMxLiAA\"";
const Z: &str = "\"AQECAIQBBwggYW5kIHRlYQA=\"";

// Verifies: OPS-24
#[test]
fn the_updates_of_example_7_give_one_text_in_any_order() {
    for order in [[X, Y, Z], [X, Z, Y], [Y, X, Z], [Y, Z, X], [Z, X, Y], [Z, Y, X]] {
        for settles in [false, true] {
            let hub = Store::hub();
            for (at, value) in (1_u64..).zip(order) {
                let op = text(&format!("op-text-{at}"), at, at, value, &[]);
                assert_eq!(hub.push(&op), Pushed::Accepted);
                if settles {
                    assert_eq!(merge::text::settle(&hub.sql(), 10).unwrap(), 1);
                }
            }
            assert_eq!(hub.entity("node/1").text["body"], "1. Buy milk and tea", "{order:?}");
            assert!(hub.open().is_empty());
            merge::text::settle(&hub.sql(), 10).unwrap();
            assert_eq!(merge::text::settle(&hub.sql(), 10).unwrap(), 0);
            assert_eq!(hub.rows("SELECT text FROM ops_text")[0][0], "1. Buy milk and tea");
            assert_eq!(hub.entity("node/1").text["body"], "1. Buy milk and tea", "{order:?}");
        }
    }
}

// Verifies: OPS-24
#[test]
fn what_is_no_update_of_a_text_is_refused() {
    let hub = Store::hub();
    for value in ["\"\"", "\"not base64\"", "\"AQEB\"", "\"AAAA\"", "\"//////8P\""] {
        assert_eq!(
            hub.push(&text("op-text-1", 1, 1, value, &[])),
            Pushed::Refused(OpCode::BadText),
            "{value}"
        );
    }
    assert!(hub.ops().is_empty() && hub.derived().is_empty());
    // The empty update is one.
    assert_eq!(hub.push(&text("op-text-1", 1, 1, "\"AAA=\"", &[])), Pushed::Accepted);
    let mut small = Store::hub();
    small.text_max_bytes = 45;
    assert_eq!(
        small.push(&text("op-text-2", 2, 1, &text_value(9, "twenty bytes of text"), &[])),
        Pushed::Accepted
    );
    let more = text("op-text-3", 3, 1, &text_value(8, "twenty bytes of text"), &[]);
    assert_eq!(small.push(&more), Pushed::Refused(OpCode::TextTooLarge));
    assert_eq!(small.push(&text("op-text-4", 4, 1, &text_value(8, "."), &[])), Pushed::Accepted);
}

// Verifies: OPS-20, OPS-25
#[test]
fn an_edit_of_a_text_that_a_deletion_did_not_see_is_in_conflict_with_it() {
    let hub = Store::hub();
    hub.push_all([&*text("op-text-1", 1, 1, X, &[]), &*text("op-text-2", 2, 2, Z, &["op-text-1"])]);
    let deleted = r#"{"v":1,"id":"op-dead-1","hlc":"000000000010-0000-0000000000000003","origin":"0000000000000003","kind":"tombstone","entity":"node/1","base":["op-text-1"]}"#;
    hub.push_all([deleted]);
    assert_eq!(hub.open().len(), 1);
    let seen = deleted.replace("op-dead-1", "op-dead-2").replace("000000000010", "000000000011");
    hub.push_all([&*seen.replace("op-text-1", "op-text-2")]);
    assert!(hub.open().is_empty());
}

// Verifies: OPS-20
#[test]
fn a_compacted_text_is_a_head_while_any_that_it_holds_is() {
    let held = |at: u64, base: &[&str]| text(&format!("op-text-{at}"), at, at, &text_value(1, "abc"), base);
    let value = merge::text::merged_value([&*text_value(1, "abc"), &*text_value(2, "def")]).unwrap();
    assert_eq!(merge::text::merged_value([Y]), None, "x is missing");
    let merged = FerryOp {
        id: format!("tc-{}", "0".repeat(32)),
        origin: OriginId::ZERO,
        value: Some(value),
        merged: vec!["op-text-1".into(), "op-text-2".into()],
        ..ferry(&text("op-text-2", 2, 2, X, &[]))
    };
    let merged = merged.encode();
    let first = text("op-text-5", 5, 5, &text_value(5, "x"), &["op-text-1"]);
    let second = text("op-text-6", 6, 6, &text_value(6, "y"), &["op-text-2", "op-text-5"]);
    let deleted = r#"{"v":1,"id":"op-dead-1","hlc":"000000000010-0000-0000000000000003","origin":"0000000000000003","kind":"tombstone","entity":"node/1","base":["op-text-6"]}"#;
    let partly = r#"{"v":1,"id":"op-dead-1","hlc":"000000000010-0000-0000000000000003","origin":"0000000000000003","kind":"tombstone","entity":"node/1","base":["op-text-5"]}"#;
    let random = &mut Random::new(77);
    for _ in 0..24 {
        let mut all = vec![&*merged, &*first, &*second, deleted];
        random.shuffle(&mut all);
        let hub = Store::hub();
        hub.push_all(all.iter().copied());
        assert!(hub.open().is_empty(), "{all:?}");
        let mut some = vec![&*merged, &*first, partly];
        random.shuffle(&mut some);
        let hub = Store::hub();
        hub.push_all(some.iter().copied());
        assert_eq!(hub.open(), [ferry_protocol::ops::conflict_id(&ferry(&merged).id)], "{some:?}");
        let before = hub.derived();
        hub.refold_all();
        assert_eq!(hub.derived(), before);
    }
    // Where the ops themselves are in the log, they speak for themselves.
    let hub = Store::hub();
    hub.push_all([&*held(1, &[]), &*held(2, &["op-text-1"]), &*merged]);
    assert_eq!(hub.rows("SELECT id FROM _ferry_op_heads WHERE via <> ''"), [["op-text-2"]]);
}

/// Three devices edit one text, each seeing some of the others' edits; the hub gets all in any order and folds them at any
/// moment.
// Verifies: OPS-24
#[test]
fn edits_that_arrive_in_any_order_and_are_folded_at_any_moment_give_one_text() {
    for seed in 1..=60 {
        let random = &mut Random::new(seed);
        let mut devices: Vec<Store> = (0..3).map(|_| Store::new(StoreRole::Spoke)).collect();
        let mut all: Vec<String> = Vec::new();
        for (at, device) in devices.iter_mut().enumerate() {
            device.use_text_client(100 + at as u64);
        }
        for edit in 0..30 {
            let at = random.below(3);
            let device = &mut devices[at];
            if random.chance(40) {
                for raw in &all {
                    if random.chance(80) {
                        device.push(raw);
                    }
                }
            }
            let now = device.rows("SELECT 1 FROM _ferry_op_fields");
            let held =
                if now.is_empty() { String::new() } else { device.entity("node/1").text["body"].clone() };
            let place = random.below(held.len() + 1);
            let delete = random.below((held.len() - place).min(4) + 1);
            let draft = format!(
                r#"[{{"kind":"text","entity":"node/1","field":"body","splice":[[{place},{delete},"{edit}."]]}}]"#
            );
            let origin = 0xa0 + at as u64;
            let written = device.append(origin, 1_000 + edit, &draft).unwrap();
            all.extend(written.effect.ops.iter().map(|op| op.raw.to_string()));
            if random.chance(10) {
                device.use_text_client(1_000 + edit as u64);
            }
        }
        let mut reads = std::collections::BTreeSet::new();
        for order in 0..6 {
            let hub = Store::new(if order % 2 == 0 { StoreRole::Hub } else { StoreRole::Spoke });
            for raw in &all {
                assert_eq!(hub.push(raw), Pushed::Accepted, "seed {seed}: {raw}");
                if random.chance(if order < 2 { 0 } else { 25 }) {
                    merge::text::settle(&hub.sql(), 10).unwrap();
                }
            }
            reads.insert(hub.entity("node/1").text["body"].clone());
            merge::text::settle(&hub.sql(), 10).unwrap();
            reads.insert(hub.entity("node/1").text["body"].clone());
            random.shuffle(&mut all);
        }
        assert_eq!(reads.len(), 1, "seed {seed}: {reads:#?}");
    }
}

// Verifies: OPS-24
#[test]
fn updates_cut_from_others_never_break_a_text() {
    let whole = [X, Y, Z].map(|value| ferry(&text("op-text-1", 1, 1, value, &[])).value.unwrap());
    for seed in 1..=1_000 {
        let random = &mut Random::new(seed);
        let spoke = Store::new(StoreRole::Spoke);
        for at in 1..=4_u64 {
            let mut bytes = decode(&whole[random.below(3)]);
            for _ in 0..random.below(4) {
                let place = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[place] = u8::try_from(random.below(256)).unwrap(),
                    1 => bytes.insert(place, u8::try_from(random.below(16)).unwrap()),
                    _ => drop(bytes.remove(place)),
                }
            }
            spoke.push(&text(&format!("op-text-{at}"), at, at, &format!("\"{}\"", base64(&bytes)), &[]));
        }
        let read = merge::text::read(&spoke.sql(), "node/1", "body").unwrap();
        merge::text::settle(&spoke.sql(), 10).unwrap();
        assert_eq!(merge::text::read(&spoke.sql(), "node/1", "body").unwrap(), read, "seed {seed}");
    }
}

fn decode(value: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u32> = value
        .trim_matches(['"', '='])
        .chars()
        .map(|digit| u32::try_from(DIGITS.find(digit).unwrap()).unwrap())
        .collect();
    let mut bytes = Vec::new();
    for chunk in digits.chunks(4) {
        let bits = chunk.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - chunk.len()));
        bytes.extend(bits.to_be_bytes()[1..chunk.len()].iter());
    }
    bytes
}
