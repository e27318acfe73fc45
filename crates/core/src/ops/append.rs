//! Writes ops here: a spoke's, and a hub's under its own origin (OPS-62). Id, clock, origin and what the writer has seen
//! are filled in.

mod seen;

use std::sync::Arc;

use ferry_protocol::ops::{
    FerryOp, OP_LIST_MAX, OpBody, OpDraft, OpKind, SpokeErrorCode, WrittenOp, parse_op,
};
use ferry_types::{HlcState, OpSeq, OriginId, Seq, UnixMillis};
use serde::Deserialize;

use super::{
    OpsEffect, OpsRefusal, PublishedOp, StoreRole, Texts,
    merge::{self, Integrated, NewConflict, Rules, text::BadSplice},
    meta,
    row::{self, Arrival},
};
use crate::sql::Sql;

/// Who writes, and by which rules.
#[derive(Clone, Copy, Debug)]
pub struct OpWriter<'a> {
    /// Whose store it is: a hub records the conflicts that it makes.
    pub role: StoreRole,
    /// The store's own origin.
    pub origin: OriginId,
    /// The time.
    pub now: UnixMillis,
    /// The commit that stores the ops.
    pub commit: Seq,
    /// On whose behalf.
    pub principal: Option<&'a str>,
    /// Longest op.
    pub op_max_bytes: usize,
    /// See [`Rules::text_max_bytes`].
    pub text_max_bytes: u64,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendedOps {
    /// One per draft, in their order.
    pub written: Vec<WrittenOp>,
    /// What was stored: more than the drafts where one op was not enough or conflicts were found, fewer where an id was
    /// repeated.
    pub effect: OpsEffect,
    /// Conflicts among them.
    pub conflicts: u64,
}

/// An op to write, as its caller knows it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) kind: OpKind,
    pub(super) entity: Option<String>,
    pub(super) field: Option<String>,
    pub(super) value: Option<String>,
    pub(super) splice: Option<Vec<(u32, u32, String)>>,
    pub(super) id: Option<String>,
    /// What its writer has seen; `None`: what stands here.
    pub(super) base: Option<Vec<String>>,
}

impl Plan {
    pub(super) fn new(kind: OpKind, entity: &str, field: Option<&str>, value: Option<String>) -> Self {
        Self {
            kind,
            entity: Some(entity.to_owned()),
            field: field.map(str::to_owned),
            value,
            splice: None,
            id: None,
            base: None,
        }
    }

    fn of(draft: &OpDraft) -> Self {
        Self {
            kind: OpKind::of(&draft.kind),
            entity: draft.entity.clone(),
            field: draft.field.clone(),
            value: draft.value.as_ref().map(|value| value.get().to_owned()),
            splice: draft.splice.clone(),
            id: draft.id.clone(),
            base: None,
        }
    }
}

/// Appends `drafts`, all or none: after a refusal the caller rolls its transaction back. `new_id` draws ids.
///
/// # Errors
/// What storage reports; within, why the call cannot be done.
pub fn append<S: Sql>(
    sql: &S,
    drafts: &[OpDraft],
    writer: &OpWriter<'_>,
    texts: &mut Texts,
    new_id: &mut dyn FnMut() -> String,
) -> Result<Result<AppendedOps, OpsRefusal>, S::Error> {
    let mut appending = Appending::begin(sql, writer, texts, new_id)?;
    for draft in drafts {
        if let Err(refusal) = appending.write(Plan::of(draft))? {
            return Ok(Err(refusal));
        }
    }
    appending.finish().map(Ok)
}

/// A call that writes ops.
pub(super) struct Appending<'a, S> {
    sql: &'a S,
    writer: &'a OpWriter<'a>,
    rules: Rules,
    texts: &'a mut Texts,
    new_id: &'a mut dyn FnMut() -> String,
    clock: HlcState,
    head: OpSeq,
    written: Vec<WrittenOp>,
    ops: Vec<PublishedOp>,
    conflicts: u64,
}

/// What a step of a call comes to.
type Step<T, E> = Result<Result<T, OpsRefusal>, E>;

impl<'a, S: Sql> Appending<'a, S> {
    pub(super) fn begin(
        sql: &'a S,
        writer: &'a OpWriter<'a>,
        texts: &'a mut Texts,
        new_id: &'a mut dyn FnMut() -> String,
    ) -> Result<Self, S::Error> {
        let rules = Rules { role: writer.role, is_own: true, text_max_bytes: writer.text_max_bytes };
        let (clock, head) = (meta::clock(sql)?, meta::head(sql)?);
        let (written, ops) = (Vec::new(), Vec::new());
        Ok(Self { sql, writer, rules, texts, new_id, clock, head, written, ops, conflicts: 0 })
    }

    /// Keeps the clock and tells what was written.
    pub(super) fn finish(self) -> Result<AppendedOps, S::Error> {
        if !self.ops.is_empty() {
            meta::set_clock(self.sql, self.clock)?;
            meta::set_head(self.sql, self.head)?;
        }
        let effect = OpsEffect { head: self.head, ops: self.ops };
        Ok(AppendedOps { written: self.written, effect, conflicts: self.conflicts })
    }

    /// Writes one op, or, where what it has to name does not fit into one, several.
    pub(super) fn write(&mut self, plan: Plan) -> Step<(), S::Error> {
        if let Some(id) = &plan.id
            && let Some(known) = row::known(self.sql, id)?
        {
            self.written.push(WrittenOp { id: id.clone(), hlc: known.hlc });
            return Ok(Ok(()));
        }
        let written = match self.write_new(plan)? {
            Ok(written) => written,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.written.push(written);
        Ok(Ok(()))
    }

    fn write_new(&mut self, plan: Plan) -> Step<WrittenOp, S::Error> {
        let mut base = Vec::new();
        if let Some(entity) = &plan.entity {
            let found = match &plan.field {
                Some(field) if plan.kind == OpKind::Set && plan.base.is_none() => {
                    let (found, seen) = seen::scalar(self.sql, entity, field)?;
                    base = seen;
                    found
                }
                _ => seen::entity(self.sql, entity)?,
            };
            if let Some((hlc, is_dead)) = found {
                if is_dead && plan.kind != OpKind::Tombstone && plan.kind.is_merged() {
                    let message = format!("the entity {entity:?} is deleted: write to a new one");
                    return Ok(Err(OpsRefusal::new(SpokeErrorCode::EntityDeleted, message)));
                }
                // Whoever has seen an op writes later ones with greater clocks.
                self.clock = self.clock.max(hlc);
            }
        }
        match plan.kind {
            OpKind::Conflict => Ok(Err(OpsRefusal::invalid("kind: conflicts are recorded by hubs alone"))),
            OpKind::Text => self.write_text(plan),
            _ if plan.splice.is_some() => {
                Ok(Err(OpsRefusal::invalid("splice: goes with kind \"text\" alone")))
            }
            OpKind::LinkRemove => self.write_unlink(plan),
            OpKind::Tombstone => self.write_tombstone(plan),
            _ => self.store(plan, base, Vec::new()),
        }
    }

    fn write_text(&mut self, mut plan: Plan) -> Step<WrittenOp, S::Error> {
        let (Some(entity), Some(field)) = (plan.entity.clone(), plan.field.clone()) else {
            return Ok(Err(OpsRefusal::invalid("a text is edited by entity, field and splice (or value)")));
        };
        let is_splice = plan.splice.is_some();
        match (plan.splice.take(), &plan.value) {
            (Some(edits), None) => match self.texts.splice(self.sql, (&entity, &field), &edits)? {
                Ok(update) => plan.value = Some(merge::text::value_of(&update)),
                Err(BadSplice::OutOfBounds) => {
                    return Ok(Err(OpsRefusal::invalid(
                        "splice: reaches behind the end of the text (places are UTF-16 units)",
                    )));
                }
                Err(BadSplice::InsideCharacter) => {
                    return Ok(Err(OpsRefusal::invalid(
                        "splice: cuts a character of two UTF-16 units in two",
                    )));
                }
            },
            (None, Some(_)) => {}
            _ => return Ok(Err(OpsRefusal::invalid("a text needs either splice or value"))),
        }
        let heads = merge::text::heads(self.sql, &entity, &field)?;
        let base = heads.into_iter().map(|head| head.id).take(OP_LIST_MAX).collect();
        let written = self.store(plan, base, Vec::new())?;
        if let (true, Ok(written)) = (is_splice, &written) {
            self.texts.wrote(i64::try_from(self.head.0).unwrap_or(i64::MAX), &written.id);
        }
        Ok(written)
    }

    fn write_unlink(&mut self, mut plan: Plan) -> Step<WrittenOp, S::Error> {
        #[derive(Deserialize)]
        struct Target {
            to: String,
        }
        let target: Option<Target> = plan.value.take().and_then(|value| serde_json::from_str(&value).ok());
        let (Some(target), Some(entity), Some(field)) = (target, &plan.entity, &plan.field) else {
            return Ok(Err(OpsRefusal::invalid(
                "a link.remove needs entity, field and value {\"to\":entity}",
            )));
        };
        let adds = seen::adds(self.sql, entity, field, &target.to)?;
        self.store_in_parts(plan, adds, &OpKind::LinkRemove, |part| (Vec::new(), part))
    }

    fn write_tombstone(&mut self, mut plan: Plan) -> Step<WrittenOp, S::Error> {
        let mut base = plan.base.take();
        if let Some(entity) = &plan.entity {
            // Its origin's own heads are covered in any case. Named, they are also for stores that know a text merged into
            // one op, and not whose edits it holds.
            let heads = match base {
                None => seen::heads(self.sql, entity)?,
                Some(_) => seen::own_heads(self.sql, entity, self.writer.origin)?,
            };
            let base = base.get_or_insert_default();
            base.extend(heads.into_iter().filter(|head| !base.contains(head)).collect::<Vec<_>>());
        }
        let base = base.unwrap_or_default();
        // The first tombstone would be in conflict with what only the next one names; a second `create` changes nothing.
        self.store_in_parts(plan, base, &OpKind::Create, |part| (part, Vec::new()))
    }

    /// Stores as many ops as it takes to name all of `ids`; the last one is the plan's, those before it are of `kind`.
    fn store_in_parts(
        &mut self,
        plan: Plan,
        mut ids: Vec<String>,
        kind: &OpKind,
        named: impl Fn(Vec<String>) -> (Vec<String>, Vec<String>),
    ) -> Step<WrittenOp, S::Error> {
        while ids.len() > OP_LIST_MAX {
            let (base, removes) = named(ids.split_off(ids.len() - OP_LIST_MAX));
            if let Err(refusal) =
                self.store(Plan { id: None, kind: kind.clone(), ..plan.clone() }, base, removes)?
            {
                return Ok(Err(refusal));
            }
        }
        let (base, removes) = named(ids);
        self.store(plan, base, removes)
    }

    /// Stamps an op and stores it.
    fn store(&mut self, plan: Plan, base: Vec<String>, removes: Vec<String>) -> Step<WrittenOp, S::Error> {
        let clock = match self.clock.issue(self.writer.now) {
            Ok(clock) => clock,
            Err(exhausted) => return Ok(Err(OpsRefusal::invalid(exhausted.to_string()))),
        };
        let op = FerryOp {
            id: plan.id.unwrap_or_else(&mut *self.new_id),
            hlc: clock.stamp(self.writer.origin),
            origin: self.writer.origin,
            kind: plan.kind,
            entity: plan.entity,
            field: plan.field,
            value: plan.value,
            to: None,
            base: plan.base.unwrap_or(base),
            removes,
            replaces: None,
            merged: Vec::new(),
            merged_hlc: Vec::new(),
        };
        let raw = op.encode();
        if raw.len() > self.writer.op_max_bytes {
            let most = self.writer.op_max_bytes;
            return Ok(Err(OpsRefusal::invalid(format!(
                "an op has at most {most} bytes, this one has {}",
                raw.len()
            ))));
        }
        // Read back, it is judged as an op from elsewhere is.
        let op = match parse_op(&raw).map(|received| received.body) {
            Ok(OpBody::Ferry(op)) => op,
            Ok(OpBody::Foreign { .. }) => {
                return Ok(Err(OpsRefusal::invalid("an op needs an id and a kind")));
            }
            Err(unfit) => return Ok(Err(OpsRefusal::invalid(unfit.message))),
        };
        let seq = self.head.next();
        let conflicts = match merge::integrate(self.sql, &op, seq, &self.rules)? {
            Integrated::Merged(conflicts) => conflicts,
            Integrated::Opaque => Vec::new(),
            Integrated::Refused { message, .. } => return Ok(Err(OpsRefusal::invalid(message))),
        };
        self.clock = clock;
        self.put(seq, &op, raw)?;
        for NewConflict { op, raw } in conflicts {
            self.conflicts += 1;
            self.put(self.head.next(), &op, raw)?;
        }
        Ok(Ok(WrittenOp { hlc: op.hlc.to_string(), id: op.id }))
    }

    fn put(&mut self, seq: OpSeq, op: &FerryOp, raw: String) -> Result<(), S::Error> {
        let writer = self.writer;
        let arrival = Arrival {
            via_shim: false,
            principal: writer.principal,
            commit: writer.commit,
            received: writer.now,
            hub_seq: None,
        };
        row::insert_ferry(self.sql, seq, op, &raw, &arrival)?;
        self.head = seq;
        self.ops.push(PublishedOp {
            seq,
            id: (*op.id).into(),
            entity: op.entity.as_deref().map(Into::into),
            raw: Arc::from(raw),
        });
        Ok(())
    }
}
