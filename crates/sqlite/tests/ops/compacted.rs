//! Compacted texts that come before, among or after the ops that they stand for.

use ferry_core::ops::{StoreRole, merge::text::merged_value};
use ferry_protocol::ops::{FerryOp, OpKind};
use ferry_types::{Hlc, OriginId};

use super::{
    model::outcome,
    orders::{Random, history, shown, text_value},
    store::{Pushed, Store, ferry},
};

/// The op that a store which has `seen` makes of its texts of one field.
fn compacted(
    random: &mut Random,
    number: usize,
    seen: &[FerryOp],
    entity: &str,
    field: &str,
) -> Option<FerryOp> {
    let is_text = |op: &&FerryOp| {
        op.kind == OpKind::Text && op.entity.as_deref() == Some(entity) && op.field.as_deref() == Some(field)
    };
    let heads = outcome(seen).heads;
    let texts: Vec<&FerryOp> = seen.iter().filter(is_text).collect();
    let merged: Vec<&FerryOp> = texts.iter().copied().filter(|op| heads.contains(&op.id)).collect();
    let newest = texts.iter().max_by_key(|op| op.hlc)?;
    if merged.is_empty() {
        return None;
    }
    let op = FerryOp {
        id: format!("tc-{number:032}"),
        origin: OriginId::ZERO,
        value: merged_value(texts.iter().filter_map(|op| op.value.as_deref())),
        base: Vec::new(),
        merged: merged.iter().map(|op| op.id.clone()).collect(),
        merged_hlc: if random.chance(50) { merged.iter().map(|op| op.hlc).collect() } else { Vec::new() },
        ..(*newest).clone()
    };
    Some(ferry(&op.encode()))
}

/// A history with compacted texts, some of which others saw and some of which have outlived what they stand for.
fn compacted_history(random: &mut Random) -> Vec<FerryOp> {
    let mut ops = history(random);
    for (at, op) in ops.iter_mut().enumerate() {
        if op.kind == OpKind::Set && random.chance(60) {
            (op.kind, op.value) = (OpKind::Text, Some(text_value(u8::try_from(at).unwrap(), "was a set")));
        }
    }
    let mut made: Vec<FerryOp> = Vec::new();
    for number in 0..4 {
        let entity = ["node/1", "node/2"][usize::from(random.chance(25))];
        let field = ["title", "body"][usize::from(random.chance(30))];
        let seen = &ops[..=random.below(ops.len())];
        made.extend(compacted(random, number, seen, entity, field));
    }
    for (at, compacted) in made.iter().enumerate() {
        if random.chance(40) {
            let origin = OriginId([0xa, 0xb, 0xd][random.below(3)]);
            let op = FerryOp {
                id: format!("op-late-{at}"),
                hlc: Hlc { ms: compacted.hlc.ms + 1 + random.next() % 40_000, counter: 0, origin },
                origin,
                value: Some(text_value(u8::try_from(100 + at).unwrap(), "late")),
                base: vec![compacted.id.clone()],
                merged: Vec::new(),
                merged_hlc: Vec::new(),
                ..compacted.clone()
            };
            ops.push(ferry(&op.encode()));
        }
    }
    let is_gone = |op: &FerryOp, random: &mut Random| {
        made.iter().any(|compacted| compacted.merged.contains(&op.id)) && random.chance(25)
    };
    ops.retain(|op| !is_gone(op, random));
    ops.extend(made);
    ops
}

fn orders<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for at in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(at);
        for mut order in orders(&rest) {
            order.insert(0, first.clone());
            all.push(order);
        }
    }
    all
}

// Verifies: OPS-20, OPS-26
#[test]
fn what_its_writer_deleted_is_no_head_in_a_compacted_text_that_came_first() {
    let raw = r#"{"v":1,"id":"op-text-1","hlc":"000000000001-0000-000000000000000a","origin":"000000000000000a","kind":"text","entity":"node/1","field":"body","value":"AQEBAAQBAXQIQnV5IG1pbGsA","base":[]}"#;
    let deleted = r#"{"v":1,"id":"op-dead-1","hlc":"000000000002-0000-000000000000000a","origin":"000000000000000a","kind":"tombstone","entity":"node/1","base":[]}"#;
    for told in ["", r#","merged_hlc":["000000000001-0000-000000000000000a"]"#] {
        let compacted = format!(
            r#"{{"v":1,"id":"tc-7741032584446f8596232aa9a0dc778d","hlc":"000000000001-0000-000000000000000a","origin":"0000000000000000","kind":"text","entity":"node/1","field":"body","value":"AQEBAAQBAXQIQnV5IG1pbGsA","merged":["op-text-1"]{told}}}"#
        );
        let mut first = None;
        for order in orders(&[raw, deleted, &*compacted]) {
            let hub = Store::hub();
            hub.push_all(order.iter().copied());
            assert!(hub.open().is_empty(), "{order:?}");
            let derived = hub.derived();
            assert_eq!(*first.get_or_insert_with(|| derived.clone()), derived, "{order:?}");
        }
    }
}

// Verifies: OPS-20, OPS-25, OPS-26
#[test]
fn every_order_of_ops_and_compacted_texts_gives_the_same_rows() {
    for seed in 1..=150 {
        let random = &mut Random::new(seed ^ 0x7c00);
        let mut ops = compacted_history(random);
        let expected = outcome(&ops);
        let mut first: Option<Vec<Vec<String>>> = None;
        for order in 0..4 {
            random.shuffle(&mut ops);
            let told: Vec<String> = ops.iter().map(FerryOp::encode).collect();
            let hub = Store::hub();
            for op in &told {
                assert_eq!(hub.push(op), Pushed::Accepted, "seed {seed}, order {order}: {op}");
            }
            assert_eq!(shown(&hub), expected, "seed {seed}, order {order}: {told:#?}");
            let derived = hub.derived();
            assert_eq!(*first.get_or_insert_with(|| derived.clone()), derived, "seed {seed}, order {order}");
            hub.refold_all();
            assert_eq!(hub.derived(), derived, "seed {seed}, order {order}: folded anew");
            let spoke = Store::new(StoreRole::Spoke);
            let mut pulled = hub.ops();
            random.shuffle(&mut pulled);
            spoke.push_all(pulled.iter().map(String::as_str));
            assert_eq!(spoke.derived(), derived, "seed {seed}, order {order}: on a spoke");
        }
    }
}
