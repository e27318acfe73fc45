//! What follows from a set of ops, by the words of OPS-20 to OPS-25 and nothing else: slow, and all at once.

use std::collections::{BTreeMap, BTreeSet};

use ferry_protocol::ops::{FerryOp, OpKind, canonical_digest, conflict_id};
use ferry_types::OriginId;

/// What follows.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    /// JSON by entity and field.
    pub(crate) scalars: BTreeMap<(String, String), String>,
    /// Targets by entity and field.
    pub(crate) links: BTreeSet<(String, String, String)>,
    pub(crate) deleted: BTreeSet<String>,
    /// Ids of `set` and `text` heads.
    pub(crate) heads: BTreeSet<String>,
    /// Ids of open conflicts.
    pub(crate) open: BTreeSet<String>,
}

fn covers(other: &FerryOp, op: &FerryOp) -> bool {
    if other.id == op.id || other.entity != op.entity || !other.kind.is_merged() {
        return false;
    }
    let stands_above = other.origin == op.origin && op.origin != OriginId::ZERO && other.hlc > op.hlc;
    let is_same_field = match other.kind {
        OpKind::Set | OpKind::Text | OpKind::LinkAdd | OpKind::LinkRemove => other.field == op.field,
        OpKind::Tombstone => true,
        _ => false,
    };
    other.base.contains(&op.id) || (stands_above && is_same_field)
}

/// Which of the ops that a compacted text stands for are heads. The origin of one is known by the op itself, or told.
fn merged_heads(ops: &[FerryOp], compacted: &FerryOp) -> Vec<String> {
    if ops.iter().any(|other| covers(other, compacted)) {
        return Vec::new();
    }
    let is_head = |(at, id): &(usize, &String)| {
        let known = ops.iter().find(|op| op.id == **id).cloned();
        let held = known.unwrap_or_else(|| {
            let hlc = compacted.merged_hlc.get(*at).copied();
            let origin = hlc.map_or(OriginId::ZERO, |hlc| hlc.origin);
            FerryOp { id: (*id).clone(), hlc: hlc.unwrap_or(compacted.hlc), origin, ..compacted.clone() }
        });
        !ops.iter().any(|other| covers(other, &held))
    };
    compacted.merged.iter().enumerate().filter(is_head).map(|(_, id)| id.clone()).collect()
}

pub(crate) fn outcome(ops: &[FerryOp]) -> Outcome {
    let mut outcome = Outcome::default();
    let name = |op: &FerryOp| (op.entity.clone().unwrap(), op.field.clone().unwrap_or_default());
    let digest = |op: &FerryOp| canonical_digest(op.value.as_deref().unwrap());
    let key = |op: &FerryOp| (op.hlc, digest(op), op.id.clone());
    let mut winners: BTreeMap<(String, String), &FerryOp> = BTreeMap::new();
    for op in ops.iter().filter(|op| op.kind == OpKind::Set) {
        let winner = winners.entry(name(op)).or_insert(op);
        if key(op) > key(winner) {
            *winner = op;
        }
    }
    for op in ops.iter().filter(|op| op.kind == OpKind::Tombstone) {
        outcome.deleted.insert(op.entity.clone().unwrap());
    }
    for op in ops.iter().filter(|op| matches!(op.kind, OpKind::Set | OpKind::Text)) {
        if !op.merged.is_empty() {
            let heads = merged_heads(ops, op);
            if !heads.is_empty() && outcome.deleted.contains(op.entity.as_deref().unwrap()) {
                outcome.open.insert(conflict_id(&op.id));
            }
            outcome.heads.extend(heads);
            continue;
        }
        if ops.iter().any(|other| covers(other, op)) {
            continue;
        }
        outcome.heads.insert(op.id.clone());
        let is_dead = outcome.deleted.contains(op.entity.as_deref().unwrap());
        let loses = || op.kind == OpKind::Set && digest(winners[&name(op)]) != digest(op);
        if is_dead || loses() {
            outcome.open.insert(conflict_id(&op.id));
        }
    }
    for op in ops.iter().filter(|op| op.kind == OpKind::LinkAdd) {
        let removes = |other: &FerryOp| {
            other.kind == OpKind::LinkRemove && other.entity == op.entity && other.removes.contains(&op.id)
        };
        if !ops.iter().any(removes) {
            let (entity, field) = name(op);
            outcome.links.insert((entity, field, op.to.clone().unwrap()));
        }
    }
    outcome.scalars = winners.into_iter().map(|(name, op)| (name, op.value.clone().unwrap())).collect();
    outcome
}
