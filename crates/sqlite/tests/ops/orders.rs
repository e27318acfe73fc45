//! Any order of the same ops gives the same rows, and those are what the words of the specification say.

use std::collections::BTreeSet;

use ferry_core::ops::StoreRole;
use ferry_protocol::ops::{FerryOp, OpKind};
use ferry_types::{Hlc, OriginId};

use super::{
    model::{Outcome, outcome},
    store::{Pushed, Store, ferry},
};

/// Seeded numbers (xorshift64*); a failing test names its seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound.max(1)
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// An update that inserts `text` at the root, of a client of its own.
pub(crate) fn text_value(client: u8, text: &str) -> String {
    let mut update = vec![1, 1, client, 0, 4, 1, 1, b't', u8::try_from(text.len()).unwrap()];
    update.extend_from_slice(text.as_bytes());
    update.push(0);
    format!("\"{}\"", base64(&update))
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            if digit <= chunk.len() {
                text.push(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize].into());
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// Ops of three devices whose writers each saw some of the ops before; bases name ops that never come, too.
pub(crate) fn history(random: &mut Random) -> Vec<FerryOp> {
    let mut ops: Vec<FerryOp> = Vec::new();
    let count = 2 + random.below(22);
    let mut ms = 1_795_168_800_000;
    for at in 0..count {
        // Two ops of one time are of one copied store.
        if !random.chance(15) {
            ms += 1 + random.next() % 5_000;
        }
        let origin = OriginId([0xa, 0xb, 0xc][random.below(3)]);
        let hlc = Hlc { ms, counter: 0, origin };
        let entity = ["node/1", "node/2"][usize::from(random.chance(25))];
        let field = ["title", "body"][usize::from(random.chance(30))];
        let kind = match random.below(20) {
            0 => OpKind::Create,
            1..=11 => OpKind::Set,
            12..=14 => OpKind::Text,
            15..=16 => OpKind::LinkAdd,
            17 => OpKind::LinkRemove,
            18 => OpKind::Other("node.move".into()),
            _ => OpKind::Tombstone,
        };
        let mut ids: Vec<String> = Vec::new();
        for op in ops.iter().filter(|op| op.hlc < hlc) {
            if random.chance(if op.entity.as_deref() == Some(entity) { 35 } else { 5 }) {
                ids.push(op.id.clone());
            }
        }
        if random.chance(10) {
            ids.push(format!("never-{at:04}"));
        }
        let value = match kind {
            OpKind::Set => Some(["1", "2", "\"x\"", "{\"a\": 1}", "{ \"a\":1 }"][random.below(5)].to_owned()),
            OpKind::Text => Some(text_value(u8::try_from(at).unwrap(), &format!("{at},"))),
            OpKind::LinkAdd => Some(format!("{{\"to\":\"node/{}\"}}", random.below(3))),
            OpKind::Create => Some(format!("\"type{at}\"")),
            _ => None,
        };
        let is_whole = matches!(kind, OpKind::Create | OpKind::Tombstone);
        let removes = if kind == OpKind::LinkRemove { ids.clone() } else { Vec::new() };
        let op = FerryOp {
            id: format!("op-{at:04}-{}", random.below(1000)),
            hlc,
            origin,
            entity: Some(entity.to_owned()),
            field: (!is_whole).then(|| field.to_owned()),
            value,
            to: None,
            base: if matches!(kind, OpKind::Create | OpKind::LinkAdd) { Vec::new() } else { ids },
            removes,
            replaces: None,
            merged: Vec::new(),
            merged_hlc: Vec::new(),
            kind,
        };
        ops.push(ferry(&op.encode()));
    }
    ops
}

/// What a store shows of the same.
pub(crate) fn shown(store: &Store) -> Outcome {
    let mut shown = Outcome::default();
    for row in store.rows("SELECT entity, field, value FROM _ferry_op_fields WHERE winner IS NOT NULL") {
        shown.scalars.insert((row[0].clone(), row[1].clone()), row[2].clone());
    }
    for row in store.rows("SELECT entity, field, target FROM _ferry_op_links WHERE removed = 0") {
        shown.links.insert((row[0].clone(), row[1].clone(), row[2].clone()));
    }
    let ids = |query| store.rows(query).into_iter().map(|row| row[0].clone()).collect::<BTreeSet<String>>();
    shown.deleted = ids("SELECT entity FROM _ferry_op_entities WHERE dead = 1");
    shown.heads = ids("SELECT winner FROM _ferry_op_fields WHERE is_head = 1
        UNION SELECT text_id FROM _ferry_op_fields WHERE text_is_head = 1 UNION SELECT id FROM _ferry_op_heads");
    shown.open = store.open().into_iter().collect();
    shown
}

// Verifies: OPS-20, OPS-21, OPS-22, OPS-23, OPS-25, OPS-26
#[test]
fn every_order_of_the_same_ops_gives_the_same_rows() {
    for seed in 1..=150 {
        let random = &mut Random::new(seed);
        let mut ops = history(random);
        let expected = outcome(&ops);
        let mut first: Option<Vec<Vec<String>>> = None;
        let mut recorded = std::collections::BTreeMap::new();
        for order in 0..4 {
            let hub = Store::hub();
            for op in &ops {
                assert_eq!(
                    hub.push(&op.encode()),
                    Pushed::Accepted,
                    "seed {seed}, order {order}: {}",
                    op.encode()
                );
            }
            assert_eq!(shown(&hub), expected, "seed {seed}, order {order}");
            let derived = hub.derived();
            assert_eq!(*first.get_or_insert_with(|| derived.clone()), derived, "seed {seed}, order {order}");
            for (id, raw) in hub.recorded() {
                assert_eq!(
                    *recorded.entry(id).or_insert_with(|| raw.clone()),
                    raw,
                    "seed {seed}, order {order}"
                );
            }
            hub.refold_all();
            assert_eq!(hub.derived(), derived, "seed {seed}, order {order}: folded anew");
            hub.rebuild();
            assert_eq!(hub.derived(), derived, "seed {seed}, order {order}: rebuilt");
            // A spoke gets the hub's ops, the recorded conflicts among them, in an order of its own.
            let spoke = Store::new(StoreRole::Spoke);
            let mut pulled = hub.ops();
            random.shuffle(&mut pulled);
            spoke.push_all(pulled.iter().map(String::as_str));
            assert_eq!(spoke.derived(), derived, "seed {seed}, order {order}: on a spoke");
            random.shuffle(&mut ops);
        }
    }
}

// Verifies: OPS-25
#[test]
fn a_conflict_is_recorded_once_and_not_for_who_repeats_the_winner() {
    for seed in 1..=50 {
        let random = &mut Random::new(seed ^ 0xabcd);
        let ops = history(random);
        let hub = Store::hub();
        hub.push_all(ops.iter().map(FerryOp::encode).collect::<Vec<_>>().iter().map(String::as_str));
        let before = hub.ops();
        for op in &ops {
            assert_eq!(hub.push(&op.encode()), Pushed::Duplicate);
        }
        assert_eq!(hub.ops(), before, "seed {seed}");
        let distinct: BTreeSet<&String> = before.iter().collect();
        assert_eq!(distinct.len(), before.len(), "seed {seed}");
    }
}
