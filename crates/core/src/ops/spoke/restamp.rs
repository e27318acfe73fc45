//! Own ops that the hub has not stored, written anew with other times, and perhaps as another origin (OPS-12, OPS-14).

use std::collections::HashMap;

use ferry_protocol::ops::{FerryOp, OpBody, parse_op};
use ferry_types::{HlcState, OriginId};

use super::{
    SpokeStep,
    ids::{new_op_id, new_origin},
    log, outbox,
};
use crate::{ops::meta, sql::Sql};

/// Which ops get new times, and what these may be.
pub(super) struct Restamp<'a> {
    /// Their ids, in HLC order.
    pub(super) ids: &'a [String],
    /// Whose they are from then on.
    pub(super) origin: OriginId,
    /// The latest time that the hub would take, in milliseconds.
    pub(super) latest_ms: Option<u64>,
}

impl Restamp<'_> {
    /// Writes the ops anew, in the same order. They follow the clock's state of what the hub has; `None` if that is beyond
    /// what the hub would take, and nothing has changed. Otherwise how many they are.
    pub(super) fn run<S: Sql>(&self, sql: &S, step: &mut SpokeStep<'_>) -> Result<Option<usize>, S::Error> {
        let mut clock = log::clock_without(sql, self.ids)?;
        let mut renamed = HashMap::new();
        let mut written = Vec::new();
        for id in self.ids {
            let Some(mut op) = own_op(sql, id)? else { continue };
            clock = log::issue::<S::Error>(clock, step.now)?;
            if self.latest_ms.is_some_and(|latest| clock.ms > latest) {
                return Ok(None);
            }
            let new_id = new_op_id(step.now, step.random);
            op.id.clone_from(&new_id);
            op.hlc = clock.stamp(self.origin);
            op.origin = self.origin;
            op.replaces = Some(id.clone());
            for seen in op.base.iter_mut().chain(&mut op.removes) {
                if let Some(new) = renamed.get(seen) {
                    seen.clone_from(new);
                }
            }
            renamed.insert(id.clone(), new_id);
            written.push(op);
        }
        self.replace(sql, &written, clock, step)?;
        Ok(Some(written.len()))
    }

    fn replace<S: Sql>(
        &self,
        sql: &S,
        written: &[FerryOp],
        clock: HlcState,
        step: &SpokeStep<'_>,
    ) -> Result<(), S::Error> {
        let entities = log::remove(sql, self.ids)?;
        for op in written {
            let raw = op.encode();
            let old = op.replaces.as_deref().expect("BUG: each takes the place of another");
            log::insert_unmerged(sql, op, &raw, step)?;
            outbox::replaced(sql, old, &op.id)?;
            outbox::add(sql, &op.id, &op.hlc.to_string())?;
        }
        log::refold(sql, &entities)?;
        meta::set_clock(sql, clock)
    }
}

/// An op of this spoke's own, from its text.
pub(super) fn own_op<S: Sql>(sql: &S, id: &str) -> Result<Option<FerryOp>, S::Error> {
    let Some(raw) = log::raw(sql, id)? else { return Ok(None) };
    Ok(match parse_op(&raw).map(|op| op.body) {
        Ok(OpBody::Ferry(op)) => Some(*op),
        _ => None,
    })
}

/// Parts this store from another one that writes as the same spoke: it goes on as `origin`, with what the hub has not
/// stored (OPS-14).
pub(super) fn part_from_clone<S: Sql>(sql: &S, step: &mut SpokeStep<'_>) -> Result<(), S::Error> {
    let ids = outbox::unstored_from(sql, "")?;
    let origin = new_origin(step.random);
    meta::set_origin(sql, origin)?;
    Restamp { ids: &ids, origin, latest_ms: None }.run(sql, step)?;
    log::set_cloned(sql, false)
}
