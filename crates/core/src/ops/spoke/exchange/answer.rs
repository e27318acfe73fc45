//! What the hub answers, on its way into the store.

use std::collections::HashSet;

use ferry_protocol::ops::{EpochPolicy, LogHead, PageAnswer, PushResults, SnapshotHeader};
use ferry_types::OpSeq;

use super::{
    super::{
        SpokeStep,
        load::SnapshotLoad,
        log, outbox,
        page::PageStored,
        peer::{self, Peer},
        recovery,
        results::{self, PushAnswer},
        serve,
    },
    CHANGES_MAX, Phase, SpokeExchange, SpokeFailure, SpokeRefusal,
};
use crate::sql::Sql;

impl SpokeExchange {
    /// Whether an answer is of the log that this store follows. If not, the exchange goes on with that log, or fails.
    fn recognise<S: Sql>(
        &mut self,
        sql: &S,
        log_head: &LogHead,
        step: &SpokeStep<'_>,
    ) -> Result<bool, S::Error> {
        self.head = log_head.head;
        let identity = (log_head.hub_id.as_str(), log_head.epoch.as_str());
        match peer::current(sql)? {
            None if serve::was_serving(sql)? => {
                self.give_all(sql, identity.0, identity.1)?;
                return Ok(false);
            }
            None => recovery::follow_first(sql, identity, &self.target)?,
            Some(peer) if (peer.hub_id.as_str(), peer.epoch.as_str()) == identity => {
                if peer.url != self.target.url || peer.database != self.target.database {
                    peer::set_address(sql, &self.target)?;
                }
            }
            Some(peer) => {
                self.changed(sql, &peer, identity, EpochPolicy::Repush, step)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn changed<S: Sql>(
        &mut self,
        sql: &S,
        peer: &Peer,
        (hub_id, epoch): (&str, &str),
        policy: EpochPolicy,
        step: &SpokeStep<'_>,
    ) -> Result<(), S::Error> {
        self.changes += 1;
        if self.changes > CHANGES_MAX {
            self.phase = Phase::Failed(SpokeFailure::Unstable);
            return Ok(());
        }
        if peer.cursor == OpSeq(0) && !peer.is_repushing && !log::has_acknowledged(sql)? {
            // Nothing was told to the former log, nor heard of it: one without ops gets its name with the first.
            recovery::follow_first(sql, (hub_id, epoch), &self.target)?;
            self.phase = Phase::Pull;
            return Ok(());
        }
        if peer.hub_id == hub_id && policy == EpochPolicy::Discard {
            self.warnings
                .push("the hub's log was emptied on purpose: what came from it is dropped here".to_owned());
            recovery::discard(sql, (hub_id, epoch), &self.target, step)?;
            self.has_dropped_own = true;
            self.phase = Phase::Pull;
        } else if peer.hub_id == hub_id || self.accepted.as_deref() == Some(hub_id) {
            self.give_all(sql, hub_id, epoch)?;
        } else {
            // Also at the same URL, which names a database by its token alone: an empty log is a hub begun anew, and one that
            // shares an op is ours; any other is somebody else's.
            self.phase = Phase::Compare { hub_id: hub_id.to_owned(), epoch: epoch.to_owned(), after: 0 };
        }
        Ok(())
    }

    /// Takes in a page.
    ///
    /// # Errors
    /// See [`Self::next`].
    pub fn pulled<S: Sql>(
        &mut self,
        sql: &S,
        log_head: &LogHead,
        answer: &PageAnswer<'_>,
        step: &SpokeStep<'_>,
    ) -> Result<(), S::Error> {
        if !matches!(self.phase, Phase::Pull) || !self.recognise(sql, log_head, step)? {
            return Ok(());
        }
        let peer = peer::current(sql)?;
        let cursor = peer.as_ref().map_or(OpSeq(0), |peer| peer.cursor);
        if !is_behind(answer, cursor) {
            self.phase =
                Phase::Failed(SpokeFailure::Garbled("its page does not begin where the cursor stands"));
            return Ok(());
        }
        let mut stored = PageStored::default();
        for op in &answer.ops {
            stored.take(sql, op.seq, op.raw.get(), &HashSet::new(), step)?;
        }
        self.counts.pulled += answer.ops.len() as u64;
        self.counts.applied += stored.applied;
        self.warnings.extend(stored.finish(sql, step)?);
        if answer.next > cursor {
            let proof = (answer.next_id.as_deref(), answer.next_stamp.as_deref());
            peer::set_cursor(sql, answer.next, proof)?;
            outbox::forget_stored(sql, answer.next)?;
        }
        let is_repushing = peer.as_ref().is_some_and(|peer| peer.is_repushing);
        if peer.is_some_and(|peer| peer.floor < answer.floor) {
            peer::set_floor(sql, answer.floor)?;
        }
        if !answer.has_more {
            self.pass_stored(sql)?;
            outbox::push_due_again(sql, log_head.hub_time_ms)?;
            // Until now a log that is put back anew might have lost what it was asked about.
            if is_repushing {
                peer::repushed(sql)?;
                log::drop_untold_conflicts(sql)?;
                serve::gave_all(sql)?;
            }
            self.phase = Phase::Push { until: outbox::newest_pending(sql)?.unwrap_or_default() };
        }
        Ok(())
    }

    /// Takes in the results of a push.
    ///
    /// # Errors
    /// See [`Self::next`].
    pub fn pushed<S: Sql>(
        &mut self,
        sql: &S,
        log_head: &LogHead,
        pushed: &PushResults,
        step: &mut SpokeStep<'_>,
    ) -> Result<(), S::Error> {
        if !matches!(self.phase, Phase::Push { .. } | Phase::Relay { .. })
            || !self.recognise(sql, log_head, step)?
        {
            return Ok(());
        }
        let ids = std::mem::take(&mut self.asked);
        let cursor = peer::current(sql)?.map_or(OpSeq(0), |peer| peer.cursor);
        let answer = PushAnswer {
            ids: &ids,
            results: &pushed.results,
            stamp: pushed.stamp.as_deref(),
            cursor,
            moves_cursor: self.trusts_stored && matches!(self.phase, Phase::Push { .. }),
            hub_time_ms: log_head.hub_time_ms,
        };
        if !answer.is_whole() {
            self.phase =
                Phase::Failed(SpokeFailure::Garbled("its results are not those of the ops that were pushed"));
            return Ok(());
        }
        let rejected = self.counts.rejected;
        answer.store(sql, &mut self.counts, &mut self.warnings, step)?;
        self.has_dropped_own |= self.counts.rejected > rejected;
        if let Phase::Relay { waiting, .. } = &mut self.phase {
            waiting.drain(..ids.len().min(waiting.len()));
        }
        Ok(())
    }

    /// Takes in which ids the log does not know.
    ///
    /// # Errors
    /// See [`Self::next`].
    pub fn missing<S: Sql>(
        &mut self,
        sql: &S,
        log_head: &LogHead,
        missing: &[String],
        step: &SpokeStep<'_>,
    ) -> Result<(), S::Error> {
        let asked = std::mem::take(&mut self.asked);
        match &mut self.phase {
            Phase::Compare { hub_id, epoch, .. } => {
                let (hub_id, epoch) = (hub_id.clone(), epoch.clone());
                if hub_id != log_head.hub_id || epoch != log_head.epoch {
                    self.changes += 1;
                    let again = self.changes <= CHANGES_MAX;
                    self.phase = if again { Phase::Begin } else { Phase::Failed(SpokeFailure::Unstable) };
                } else if log_head.head == OpSeq(0) || missing.len() < asked.len() {
                    self.give_all(sql, &hub_id, &epoch)?;
                }
            }
            Phase::Prove => {
                if !self.recognise(sql, log_head, step)? {
                    return Ok(());
                }
                if missing.is_empty() {
                    self.phase = Phase::Pull;
                } else {
                    self.give_all(sql, &log_head.hub_id, &log_head.epoch)?;
                }
            }
            Phase::Missing { after } => {
                let after = *after;
                if self.recognise(sql, log_head, step)? {
                    let asked: std::collections::BTreeSet<&String> = asked.iter().collect();
                    let waiting = missing.iter().filter(|id| asked.contains(id)).cloned().collect();
                    self.phase = Phase::Relay { after, waiting };
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Loads a snapshot that is known to be whole: `each` hands its ops over.
    ///
    /// # Errors
    /// See [`Self::next`]; what `each` reports.
    pub fn load_snapshot<S: Sql>(
        &mut self,
        sql: &S,
        header: &SnapshotHeader,
        step: &SpokeStep<'_>,
        each: impl FnOnce(&mut dyn FnMut(OpSeq, &str) -> Result<(), S::Error>) -> Result<(), S::Error>,
    ) -> Result<(), S::Error> {
        let log_head = LogHead {
            hub_id: header.hub_id.clone(),
            epoch: header.epoch.clone(),
            head: header.seq,
            hub_time_ms: step.now.0,
        };
        if !matches!(self.phase, Phase::Snapshot) || !self.recognise(sql, &log_head, step)? {
            return Ok(());
        }
        let mut load = SnapshotLoad::begin(sql)?;
        each(&mut |seq, raw| load.op(sql, seq, raw, step))?;
        let (counts, warnings) = load.finish(sql, header, step)?;
        self.counts.pulled += counts.pulled;
        self.counts.applied += counts.applied;
        self.warnings.extend(warnings);
        self.has_dropped_own = true;
        self.phase = Phase::Pull;
        Ok(())
    }

    /// Takes in that the last request was refused.
    ///
    /// # Errors
    /// See [`Self::next`].
    pub fn refused<S: Sql>(
        &mut self,
        sql: &S,
        refusal: &SpokeRefusal,
        step: &SpokeStep<'_>,
    ) -> Result<(), S::Error> {
        let Some(peer) = peer::current(sql)? else {
            self.changes += 1;
            self.phase = match refusal {
                SpokeRefusal::SnapshotRequired if self.changes <= CHANGES_MAX => Phase::Snapshot,
                SpokeRefusal::TooLarge => return self.too_large(sql),
                _ => Phase::Failed(SpokeFailure::Garbled("it refuses a cursor that it was not given")),
            };
            return Ok(());
        };
        match refusal {
            SpokeRefusal::EpochChanged { hub_id, epoch, policy } => {
                self.changed(sql, &peer, (hub_id, epoch), *policy, step)
            }
            SpokeRefusal::LogDiverged => {
                let identity = (peer.hub_id.clone(), peer.epoch.clone());
                self.changed(sql, &peer, (&identity.0, &identity.1), EpochPolicy::Repush, step)
            }
            SpokeRefusal::SnapshotRequired => {
                self.changes += 1;
                let again = self.changes <= CHANGES_MAX;
                self.phase = if again { Phase::Snapshot } else { Phase::Failed(SpokeFailure::Unstable) };
                Ok(())
            }
            SpokeRefusal::TooLarge => self.too_large(sql),
        }
    }

    /// A push was too large: the next one has half as many ops. One op that is too large alone is not taken (OPS-65).
    fn too_large<S: Sql>(&mut self, sql: &S) -> Result<(), S::Error> {
        let asked = std::mem::take(&mut self.asked);
        if let [id] = asked.as_slice() {
            match &mut self.phase {
                Phase::Relay { waiting, .. } => drop(waiting.pop_front()),
                _ => results::leave_merged(
                    sql,
                    id,
                    "op_too_large",
                    "the hub takes no body with this op in it",
                )?,
            }
            self.counts.rejected += 1;
            self.has_dropped_own = true;
            return Ok(());
        }
        self.batch = ((asked.len() / 2).max(1), (self.batch.1 / 2).max(1));
        Ok(())
    }
}

/// Whether a page lies behind the cursor, in order, and moves it if it is not the last.
fn is_behind(answer: &PageAnswer<'_>, cursor: OpSeq) -> bool {
    let mut last = cursor;
    let is_in_order = answer.ops.iter().all(|op| {
        let is_next = op.seq > last;
        last = op.seq;
        is_next
    });
    is_in_order && answer.next >= last && (answer.next > cursor || !answer.has_more)
}
