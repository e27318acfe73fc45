//! What the hub says of pushed ops, on its way into the store.

use ferry_protocol::ops::{OpCode, OpResult, OpStatus, SyncCounts};
use ferry_types::{Hlc, OpSeq};

use super::{
    SpokeStep, log,
    outbox::{self, OutboxEntry, OutboxState},
    peer,
    restamp::{Restamp, own_op},
};
use crate::{
    ops::meta::{self, MetaKey},
    sql::Sql,
};

/// The answer of one push.
pub(super) struct PushAnswer<'a> {
    /// Ids of the ops that were pushed.
    pub(super) ids: &'a [String],
    /// What became of each.
    pub(super) results: &'a [OpResult],
    /// The stamp of what was accepted.
    pub(super) stamp: Option<&'a str>,
    /// How far this spoke has pulled.
    pub(super) cursor: OpSeq,
    /// What is stored right behind the cursor moves it: there is nothing in between that this spoke lacks (OPS-09).
    pub(super) moves_cursor: bool,
    /// The hub's clock.
    pub(super) hub_time_ms: i64,
}

impl PushAnswer<'_> {
    /// Whether each op has its result.
    pub(super) fn is_whole(&self) -> bool {
        self.ids.len() == self.results.len()
            && self.ids.iter().zip(self.results).all(|(id, result)| result.id.as_ref() == Some(id))
            && self.results.iter().all(|result| {
                !matches!(result.status, OpStatus::Accepted | OpStatus::Duplicate) || result.seq.is_some()
            })
    }

    /// Stores all results; ops that are too far ahead of the hub's clock are written anew.
    pub(super) fn store<S: Sql>(
        &self,
        sql: &S,
        counts: &mut SyncCounts,
        warnings: &mut Vec<String>,
        step: &mut SpokeStep<'_>,
    ) -> Result<(), S::Error> {
        let mut ahead: Option<Ahead> = None;
        let mut passed: Option<(OpSeq, &str)> = None;
        for (id, result) in self.ids.iter().zip(self.results) {
            if result.differs {
                warnings.push(format!("op {id}: the hub holds another op under this id, and keeps that one"));
            }
            let cursor = passed.map_or(self.cursor, |(seq, _)| seq);
            if self.moves_cursor
                && result.status == OpStatus::Accepted
                && let Some(seq) = result.seq.filter(|seq| *seq == cursor.next())
            {
                // What nearly every result says.
                counts.pushed += 1;
                log::acknowledge(sql, id, seq)?;
                outbox::remove(sql, id)?;
                passed = Some((seq, id));
                continue;
            }
            let entry = outbox::entry(sql, id)?;
            let own =
                entry.filter(|entry| matches!(entry.state, OutboxState::Pending | OutboxState::Quarantined));
            match (result.status, own) {
                (OpStatus::Accepted | OpStatus::Duplicate, own) => {
                    counts.pushed += 1;
                    if self.stored(sql, id, result, (own.as_ref(), cursor))? {
                        passed = Some((cursor.next(), id));
                    }
                }
                // The hub refuses what another origin wrote: that one sees to it, or this spoke once it may.
                (_, None) => {
                    if matches!(result.code, Some(OpCode::OriginForbidden | OpCode::EntityForbidden)) {
                        meta::set(sql, MetaKey::RelayRefused, "1")?;
                    }
                }
                (OpStatus::Quarantined, Some(own)) if result.code != Some(OpCode::BeforeHorizon) => {
                    counts.quarantined += 1;
                    let code = result.code.map(OpCode::as_str);
                    outbox::set(sql, id, OutboxState::Quarantined, (code, result.message.as_deref()))?;
                    if result.code == Some(OpCode::ClockAhead) {
                        ahead = ahead.or(Some(Ahead { hlc: own.hlc, release_at_ms: result.release_at_ms }));
                    }
                }
                (_, Some(_)) => {
                    counts.rejected += 1;
                    let code = result.code.map_or("unknown", OpCode::as_str);
                    leave_merged(sql, id, code, result.message.as_deref().unwrap_or(""))?;
                }
            }
        }
        if let Some((cursor, id)) = passed {
            peer::set_cursor(sql, cursor, (Some(id), self.stamp))?;
        }
        match ahead {
            Some(ahead) => self.repair(sql, &ahead, step),
            None => Ok(()),
        }
    }

    /// Notes that the hub has an op; tells whether that moves the cursor.
    fn stored<S: Sql>(
        &self,
        sql: &S,
        id: &str,
        result: &OpResult,
        (own, cursor): (Option<&OutboxEntry>, OpSeq),
    ) -> Result<bool, S::Error> {
        let Some(seq) = result.seq else { return Ok(false) };
        let is_restamped =
            || -> Result<bool, S::Error> { Ok(own_op(sql, id)?.is_some_and(|op| op.replaces.is_some())) };
        if result.status == OpStatus::Duplicate && own.is_some() && is_restamped()? {
            // It may be the one that it replaces which is stored: a pull shows which (OPS-12).
            return outbox::remove(sql, id).map(|()| false);
        }
        // All of the hub's log up to the cursor is here, and this was not in it: a copy of this store had pushed it, and it
        // was compacted since (OPS-40).
        if result.status == OpStatus::Duplicate && own.is_some() && seq <= self.cursor {
            outbox::remove(sql, id)?;
            return log::forget(sql, id).map(|()| false);
        }
        log::acknowledge(sql, id, seq)?;
        // Of one that was stored earlier the stamp is not told: a pull shows it.
        if result.status == OpStatus::Duplicate {
            return outbox::remove(sql, id).map(|()| false);
        }
        if self.moves_cursor && seq == cursor.next() {
            return outbox::remove(sql, id).map(|()| true);
        }
        let hlc = own.map_or("", |own| &own.hlc);
        outbox::stored(sql, (id, hlc), (seq, self.stamp), cursor).map(|()| false)
    }

    /// Writes the ops from the first one that is too far ahead with times that the hub takes, if there are any (OPS-12).
    fn repair<S: Sql>(&self, sql: &S, ahead: &Ahead, step: &mut SpokeStep<'_>) -> Result<(), S::Error> {
        let mut ids = Vec::new();
        for id in outbox::unstored_from(sql, &ahead.hlc)? {
            // Once is enough: the next time it is the hub's clock that moves.
            if own_op(sql, &id)?.is_some_and(|op| op.replaces.is_none()) {
                ids.push(id);
            }
        }
        let Some(origin) = meta::origin(sql)? else { return Ok(()) };
        let latest_ms = Some(ahead.latest_ms(self.hub_time_ms));
        Restamp { ids: &ids, origin, latest_ms }.run(sql, step).map(drop)
    }
}

/// The first op that is too far ahead of the hub's clock.
struct Ahead {
    hlc: String,
    release_at_ms: Option<i64>,
}

impl Ahead {
    /// The latest time that the hub takes: it releases an op as long before its time as it takes ops ahead of its clock.
    fn latest_ms(&self, hub_time_ms: i64) -> u64 {
        let hlc_ms = self.hlc.parse::<Hlc>().map_or(0, |hlc| i64::try_from(hlc.ms).unwrap_or(i64::MAX));
        let lead_ms = self.release_at_ms.map_or(0, |release| hlc_ms.saturating_sub(release).max(0));
        hub_time_ms.saturating_add(lead_ms).max(0).unsigned_abs()
    }
}

/// The hub does not take an op: its entity is what its other ops make it (OPS-64).
pub(super) fn leave_merged<S: Sql>(sql: &S, id: &str, code: &str, message: &str) -> Result<(), S::Error> {
    outbox::set(sql, id, OutboxState::Refused, (Some(code), Some(message)))?;
    if let Some(raw) = log::raw(sql, id)? {
        outbox::keep_text(sql, id, &raw)?;
    }
    log::remove_and_refold(sql, &[id.to_owned()])
}
