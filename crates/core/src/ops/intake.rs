//! One op of a batch: judged, and stored, set aside or refused.

use std::{borrow::Cow, collections::HashMap};

use ferry_protocol::ops::{
    FerryOp, MERGED_TEXT_ID_PREFIX, OpBody, OpCode, OpKind, OpResult, OpStatus, ReceivedOp, UnfitOp,
    canonical, json_text, merged_text_id, parse_op,
};
use ferry_types::{Hlc, HlcState, OpSeq, OriginId, Seq, UnixMillis};

use super::{
    OpsEffect, PublishedOp, StoreRole,
    hub_clock::{self, HubClock},
    merge::{self, Integrated, NewConflict, Rules},
    meta, origins,
    pushing::{Clocks, PushLimits, PushedOps, Pushing},
    quarantine::{self, SetAside},
    row::{self, Arrival},
    stamp,
};
use crate::sql::{Sql, Value};

const KNOWN: &str = "SELECT op_seq, raw, entity FROM _ferry_ops WHERE id = ?1
    UNION ALL SELECT op_seq, NULL, entity FROM _ferry_op_seen WHERE id = ?1";
/// The op that a restamped one replaces, if it was stored for the same origin and principal; of a dropped one nobody
/// knows the principal any more.
const REPLACED: &str =
    "SELECT op_seq, entity FROM _ferry_ops WHERE id = ?1 AND origin = ?2 AND principal IS ?3
    UNION ALL SELECT op_seq, entity FROM _ferry_op_seen WHERE id = ?1 AND origin = ?2";

/// A batch in the making.
pub(super) struct Intake<'a, S> {
    sql: &'a S,
    by: &'a Pushing<'a>,
    limits: &'a PushLimits,
    clock: HubClock,
    /// Times are not asked about: an operator has decided.
    ignores_times: bool,
    rules: Rules,
    commit: Seq,
    purge_hlc: Option<Hlc>,
    head: OpSeq,
    /// Whose the origins are that were asked about.
    owners: HashMap<OriginId, Option<String>>,
    via_shim: bool,
    /// An op is neither stored nor known.
    has_failed: bool,
    /// Whether anything may be in quarantine.
    has_held: bool,
    /// Ops and bytes in quarantine, once they were counted.
    held: Option<(u64, u64)>,
    /// The greatest time that was stored.
    absorbed: HlcState,
    stored: Vec<PublishedOp>,
    pushed: PushedOps,
}

/// Why an op is not stored.
struct BrokenRule {
    code: OpCode,
    message: Cow<'static, str>,
}

impl<'a, S: Sql> Intake<'a, S> {
    pub(super) fn begin(
        sql: &'a S,
        by: &'a Pushing<'a>,
        clocks: &Clocks,
        limits: &'a PushLimits,
        commit: Seq,
    ) -> Result<Self, S::Error> {
        let meta = meta::read(sql)?;
        Ok(Self {
            sql,
            by,
            limits,
            clock: hub_clock::read(sql, clocks)?,
            ignores_times: false,
            rules: Rules { role: StoreRole::Hub, is_own: false, text_max_bytes: limits.text_max_bytes },
            commit,
            purge_hlc: meta.as_ref().and_then(|meta| meta.purge_hlc),
            head: meta.map_or(OpSeq(0), |meta| meta.head),
            owners: HashMap::new(),
            via_shim: by.via_shim,
            has_failed: false,
            has_held: quarantine::is_any(sql)?,
            held: None,
            absorbed: HlcState::default(),
            stored: Vec::new(),
            pushed: PushedOps::default(),
        })
    }

    /// What is taken from here on comes out of the quarantine.
    pub(super) const fn release(&mut self, via_shim: bool, ignores_times: bool) {
        self.has_held = false;
        self.via_shim = via_shim;
        self.ignores_times = ignores_times;
    }

    /// Takes one op.
    pub(super) fn take(&mut self, raw: &str) -> Result<OpResult, S::Error> {
        let op = match self.read(raw) {
            Ok(op) => op,
            Err(unfit) => return self.unfit(raw, unfit),
        };
        let entity = match &op.body {
            OpBody::Ferry(op) => op.entity.as_deref(),
            OpBody::Foreign { .. } => None,
        };
        if !self.by.prefixes.contain(entity) {
            let message = "the credential may write entities with another prefix only";
            return self.refuse(&op, BrokenRule { code: OpCode::EntityForbidden, message: message.into() });
        }
        match self.find_known(&op)? {
            Some(Ok(result)) => return Ok(result),
            Some(Err(refusal)) => return self.refuse(&op, refusal),
            None => {}
        }
        match &op.body {
            OpBody::Ferry(ferry) => self.take_ferry(&op, ferry),
            OpBody::Foreign { hlc } => self.take_foreign(&op, hlc),
        }
    }

    fn read<'r>(&self, raw: &'r str) -> Result<ReceivedOp<'r>, UnfitOp> {
        let too_large = |id: Option<String>, most: usize| UnfitOp {
            id,
            code: OpCode::OpTooLarge,
            message: format!("the op has {} bytes, at most {most} are taken: split what it says", raw.len()),
            has_hlc: true,
        };
        if raw.len() > self.limits.foreign_max_bytes.max(self.limits.op_max_bytes) {
            return Err(too_large(None, self.limits.foreign_max_bytes));
        }
        let op = parse_op(raw)?;
        let most = match op.body {
            OpBody::Ferry(_) => self.limits.op_max_bytes,
            OpBody::Foreign { .. } => self.limits.foreign_max_bytes,
        };
        if raw.len() > most { Err(too_large(Some(op.id.into_owned()), most)) } else { Ok(op) }
    }

    /// What is no op: `/v1` rejects it, the shim sets it aside (OPS-07).
    fn unfit(&mut self, raw: &str, unfit: UnfitOp) -> Result<OpResult, S::Error> {
        if !self.by.via_shim {
            self.has_failed = true;
            return Ok(OpResult::refused(unfit.id, OpStatus::Rejected, unfit.code, unfit.message));
        }
        let code = match unfit.code {
            OpCode::OpTooLarge => OpCode::TooLarge,
            _ if unfit.has_hlc => OpCode::Invalid,
            _ => OpCode::Unreadable,
        };
        let id = quarantine::digest_id(raw);
        self.hold(&SetAside { id: &id, code, release_ms: None, origin: None, raw }, unfit.message.into())
    }

    /// An op that breaks a rule.
    fn refuse(&mut self, op: &ReceivedOp<'_>, refusal: BrokenRule) -> Result<OpResult, S::Error> {
        if !self.by.via_shim {
            self.has_failed = true;
            let id = Some(op.id.clone().into_owned());
            return Ok(OpResult::refused(id, OpStatus::Rejected, refusal.code, refusal.message));
        }
        let id = quarantine::digest_id(op.raw);
        let held = SetAside { id: &id, code: OpCode::Invalid, release_ms: None, origin: None, raw: op.raw };
        self.hold(&held, refusal.message)
    }

    /// Sets an op aside.
    fn hold(&mut self, held: &SetAside<'_>, message: Cow<'static, str>) -> Result<OpResult, S::Error> {
        self.has_failed = true;
        if !self.by.atomic {
            let counted = match self.held {
                Some(counted) => counted,
                None => quarantine::count(self.sql)?,
            };
            let new = quarantine::put(self.sql, held, self.by, self.clock.now, self.limits, counted)?;
            self.held =
                Some((counted.0 + u64::from(new), counted.1 + if new { held.raw.len() as u64 } else { 0 }));
            self.has_held = true;
            self.pushed.has_notes |= new;
            self.pushed.quarantined += u64::from(new);
            if let Some(due) = held.release_ms {
                let due = UnixMillis(due);
                self.pushed.next_release = Some(self.pushed.next_release.map_or(due, |known| known.min(due)));
            }
        }
        let id = Some(held.id.to_owned());
        let mut result = OpResult::refused(id, OpStatus::Quarantined, held.code, message);
        result.release_at_ms = held.release_ms;
        Ok(result)
    }

    /// The answer about an op that came before.
    fn find_known(&mut self, op: &ReceivedOp<'_>) -> Result<Option<Result<OpResult, BrokenRule>>, S::Error> {
        let prefixes = self.by.prefixes;
        let known = self.sql.first(KNOWN, &[(*op.id).into()], |row| {
            let differs = row.optional_text(1)?.is_some_and(|stored| differs(stored, op.raw));
            let is_within = prefixes.contain(row.optional_text(2)?);
            Ok((row::seq_of(row.integer(0)?)?, differs, is_within))
        })?;
        if let Some((_, _, false)) = known {
            let message = "the id is taken: choose another";
            return Ok(Some(Err(BrokenRule { code: OpCode::EntityForbidden, message: message.into() })));
        }
        if let Some((seq, differs, _)) = known {
            self.pushed.differs += u64::from(differs);
            let mut result = OpResult::stored(&op.id, OpStatus::Duplicate, seq);
            result.differs = differs;
            return Ok(Some(Ok(result)));
        }
        if !self.has_held {
            return Ok(None);
        }
        let Some((code, release_ms)) = quarantine::find(self.sql, &op.id)? else { return Ok(None) };
        self.has_failed = true;
        let id = Some(op.id.clone().into_owned());
        let mut result = OpResult::refused(id, OpStatus::Quarantined, code, "it waits in the quarantine");
        result.release_at_ms = release_ms;
        Ok(Some(Ok(result)))
    }

    fn take_foreign(&mut self, op: &ReceivedOp<'_>, hlc: &str) -> Result<OpResult, S::Error> {
        if !self.ignores_times
            && let Some(release_ms) = self.clock.foreign_release(hlc)
        {
            return self.hold_ahead(op, None, release_ms);
        }
        let seq = self.next();
        row::insert(self.sql, seq, op, &self.arrival())?;
        self.publish(seq, &op.id, None, op.raw);
        Ok(OpResult::stored(&op.id, OpStatus::Accepted, seq))
    }

    fn take_ferry(&mut self, received: &ReceivedOp<'_>, op: &FerryOp) -> Result<OpResult, S::Error> {
        if let Some(refusal) = self.judge(op)? {
            return self.refuse(received, refusal);
        }
        let Some(replaces) = &op.replaces else { return self.take_judged(received, op) };
        if let Some(seq) = self.find_replaced(replaces, op.origin)? {
            return Ok(OpResult::stored(&op.id, OpStatus::Duplicate, seq));
        }
        let result = self.take_judged(received, op)?;
        // What is refused leaves the op that it would have replaced where it is.
        if result.status != OpStatus::Rejected {
            self.discard_replaced(replaces, op.origin)?;
        }
        Ok(result)
    }

    fn take_judged(&mut self, received: &ReceivedOp<'_>, op: &FerryOp) -> Result<OpResult, S::Error> {
        if !self.ignores_times {
            if let Some(release_ms) = self.clock.release(op.hlc) {
                return self.hold_ahead(received, Some(op.origin), release_ms);
            }
            if self.purge_hlc.is_some_and(|purged| op.hlc < purged) {
                let origin = Some(op.origin);
                let held = SetAside {
                    id: &op.id,
                    code: OpCode::BeforeHorizon,
                    release_ms: None,
                    origin,
                    raw: received.raw,
                };
                let message = "the op is older than what was purged, and the log cannot know whether it is new: an \
                               admin releases or discards it";
                return self.hold(&held, message.into());
            }
        }
        let seq = OpSeq(self.head.0 + 1);
        let (is_merged, conflicts) = match merge::integrate(self.sql, op, seq, &self.rules)? {
            Integrated::Merged(conflicts) => (true, conflicts),
            Integrated::Opaque => (false, Vec::new()),
            Integrated::Refused { code, message } => {
                return self.refuse(received, BrokenRule { code, message });
            }
        };
        self.head = seq;
        row::insert_ferry(self.sql, seq, op, received.raw, &self.arrival())?;
        self.absorbed = self.absorbed.max(op.hlc.state());
        self.publish(seq, &op.id, op.entity.as_deref(), received.raw);
        self.store_conflicts(&conflicts)?;
        let mut result = OpResult::stored(&op.id, OpStatus::Accepted, seq);
        result.merged = is_merged;
        Ok(result)
    }

    /// Whether the pusher may write this op.
    fn judge(&mut self, op: &FerryOp) -> Result<Option<BrokenRule>, S::Error> {
        let refusal = |code, message: &'static str| Ok(Some(BrokenRule { code, message: message.into() }));
        if op.kind == OpKind::Conflict {
            return refusal(OpCode::BadOp, "conflict ops are the hub's own: leave them out");
        }
        if op.id.starts_with(MERGED_TEXT_ID_PREFIX) {
            let update = op.value.as_deref().and_then(json_text);
            let is_fit = update.is_some_and(|update| merged_text_id(&update) == op.id);
            return if is_fit { Ok(None) } else { refusal(OpCode::BadOp, "the id does not fit the value") };
        }
        if self.by.is_admin {
            return Ok(None);
        }
        let owner = match self.owners.get(&op.origin) {
            Some(owner) => owner,
            None => self.owners.entry(op.origin).or_insert(origins::owner(self.sql, op.origin)?),
        };
        if owner.as_ref().is_some_and(|owner| owner != self.by.principal) {
            return refusal(OpCode::OriginForbidden, "the op's origin belongs to another principal");
        }
        Ok(None)
    }

    /// The number of the op that a restamped one replaces, if it was stored meanwhile (OPS-12).
    fn find_replaced(&self, old: &str, origin: OriginId) -> Result<Option<OpSeq>, S::Error> {
        let (origin, prefixes) = (origin.to_string(), self.by.prefixes);
        let parameters = [old.into(), (*origin).into(), self.by.principal.into()];
        let found = self.sql.first(REPLACED, &parameters, |row| {
            let is_within = prefixes.contain(row.optional_text(1)?);
            Ok(if is_within { Some(row::seq_of(row.integer(0)?)?) } else { None })
        })?;
        Ok(found.flatten())
    }

    /// Discards the op in quarantine that a restamped one replaced (OPS-12), if the credential reaches it (OPS-52).
    fn discard_replaced(&mut self, old: &str, origin: OriginId) -> Result<(), S::Error> {
        let (origin, prefixes) = (origin.to_string(), self.by.prefixes);
        let is_within = |raw: &str| match parse_op(raw).map(|held| held.body) {
            Ok(OpBody::Ferry(held)) => prefixes.contain(held.entity.as_deref()),
            _ => prefixes.are_all(),
        };
        if self.has_held && quarantine::discard_of(self.sql, old, (&origin, self.by.principal), is_within)? {
            self.held = None;
            self.pushed.has_notes = true;
        }
        Ok(())
    }

    fn hold_ahead(
        &mut self,
        op: &ReceivedOp<'_>,
        origin: Option<OriginId>,
        release_ms: i64,
    ) -> Result<OpResult, S::Error> {
        let held = SetAside {
            id: &op.id,
            code: OpCode::ClockAhead,
            release_ms: Some(release_ms),
            origin,
            raw: op.raw,
        };
        let message = "the op's time is ahead of the hub's by more than max_skew_ms: set the device's clock; the op is \
                       released when its time comes near";
        self.hold(&held, message.into())
    }

    /// Conflicts follow the op that made them (OPS-25).
    fn store_conflicts(&mut self, conflicts: &[NewConflict]) -> Result<(), S::Error> {
        for NewConflict { op, raw } in conflicts {
            let seq = self.next();
            let arrival = Arrival { via_shim: false, principal: None, ..self.arrival() };
            row::insert_ferry(self.sql, seq, op, raw, &arrival)?;
            self.publish(seq, &op.id, op.entity.as_deref(), raw);
        }
        self.pushed.conflicts += conflicts.len() as u64;
        Ok(())
    }

    const fn next(&mut self) -> OpSeq {
        self.head = self.head.next();
        self.head
    }

    fn arrival(&self) -> Arrival<'a> {
        Arrival {
            via_shim: self.via_shim,
            principal: Some(self.by.principal),
            commit: self.commit,
            received: self.clock.now,
            hub_seq: None,
        }
    }

    fn publish(&mut self, seq: OpSeq, id: &str, entity: Option<&str>, raw: &str) {
        self.stored.push(PublishedOp { seq, id: id.into(), entity: entity.map(Into::into), raw: raw.into() });
    }

    /// The batch is over: notes how far the log goes, and the clock that its own ops must lead.
    pub(super) fn end(mut self, results: Vec<OpResult>) -> Result<PushedOps, S::Error> {
        if !self.stored.is_empty() {
            meta::set_head(self.sql, self.head)?;
        }
        if self.absorbed > HlcState::default() {
            let clock = meta::clock(self.sql)?;
            if clock < self.absorbed {
                meta::set_clock(self.sql, self.absorbed)?;
            }
        }
        self.pushed.results = results;
        self.pushed.head = self.head;
        self.pushed.is_whole = !self.has_failed;
        if !self.stored.is_empty() {
            self.pushed.stamp = Some(stamp::of(self.clock.now, self.commit));
            self.pushed.effect = Some(OpsEffect { head: self.head, ops: self.stored });
        }
        Ok(self.pushed)
    }
}

fn differs(stored: &str, raw: &str) -> bool {
    stored != raw && canonical(stored) != canonical(raw)
}

impl From<OpSeq> for Value<'_> {
    fn from(seq: OpSeq) -> Self {
        row::number(seq.0)
    }
}
