//! Ops that were pulled, on their way into the store.

use std::collections::HashSet;

use ferry_protocol::ops::{OpBody, ReceivedOp, parse_op};
use ferry_types::{HlcState, OpSeq, OriginId};

use super::{
    SpokeStep, log,
    outbox::{self, OutboxEntry, OutboxState},
};
use crate::{
    ops::{meta, row},
    sql::Sql,
};

/// How often an op may have taken the place of another one that did so itself: after a repaired clock a new origin, and
/// that once more.
const REPLACED_MAX: usize = 8;

/// What storing ops came to so far.
#[derive(Debug, Default)]
pub(super) struct PageStored {
    /// Ops that were not here before.
    pub(super) applied: u64,
    /// What is derived of the log is made anew behind the last op.
    is_bulk: bool,
    /// The spoke's own origin, and whether its outbox has entries.
    spoke: Option<(Option<OriginId>, bool)>,
    /// The newest clock that was seen.
    newest: Option<HlcState>,
    /// Another store writes as this spoke (OPS-14).
    is_cloned: bool,
    /// Ops that this version cannot read: left out.
    unfit: Vec<String>,
}

impl PageStored {
    /// Of a whole log.
    pub(super) fn bulk() -> Self {
        Self { is_bulk: true, ..Self::default() }
    }

    /// Stores an op. Its time is taken in unchecked: the hub has judged it (OPS-11). `known`: ids of own ops that are not
    /// in the log for the moment.
    pub(super) fn take<S: Sql>(
        &mut self,
        sql: &S,
        seq: OpSeq,
        raw: &str,
        known: &HashSet<Box<str>>,
        step: &SpokeStep<'_>,
    ) -> Result<(), S::Error> {
        let op = match parse_op(raw) {
            Ok(op) => op,
            Err(unfit) => {
                self.unfit.push(format!("op {} of the hub is left out: {}", seq.0, unfit.message));
                return Ok(());
            }
        };
        let (own, has_outbox) = match self.spoke {
            Some(spoke) => spoke,
            None => *self.spoke.insert((meta::origin(sql)?, outbox::has_entries(sql)?)),
        };
        let is_own = match &op.body {
            OpBody::Ferry(ferry) => {
                self.newest = self.newest.max(Some(ferry.hlc.state()));
                Some(ferry.origin) == own
            }
            OpBody::Foreign { .. } => false,
        };
        match self.take_in(sql, &op, seq, has_outbox, step)? {
            TakenIn::Known => {}
            TakenIn::Awaited => self.applied += 1,
            TakenIn::New => {
                self.applied += 1;
                self.is_cloned |= is_own && !known.contains(&*op.id);
            }
        }
        Ok(())
    }

    /// Keeps what was seen of clocks and clones; gives what an operator should know.
    pub(super) fn finish<S: Sql>(self, sql: &S, step: &SpokeStep<'_>) -> Result<Vec<String>, S::Error> {
        if let Some(newest) = self.newest {
            log::absorb(sql, newest, step.now)?;
        }
        if self.is_cloned {
            log::set_cloned(sql, true)?;
        }
        Ok(self.unfit)
    }

    fn take_in<S: Sql>(
        &self,
        sql: &S,
        op: &ReceivedOp<'_>,
        seq: OpSeq,
        has_outbox: bool,
        step: &SpokeStep<'_>,
    ) -> Result<TakenIn, S::Error> {
        let entry = if has_outbox { outbox::entry(sql, &op.id)? } else { None };
        if let Some(entry) = &entry {
            if let OutboxEntry { state: OutboxState::Replaced, code: Some(by), .. } = entry {
                withdraw_replacement(sql, by)?;
            }
            outbox::remove(sql, &op.id)?;
        }
        if let Some(known) = row::known(sql, &op.id)? {
            if !known.is_dropped {
                log::acknowledge(sql, &op.id, seq)?;
            }
            return Ok(TakenIn::Known);
        }
        if self.is_bulk {
            log::insert_row(sql, op, Some(seq), step)?;
        } else {
            log::insert(sql, op, Some(seq), step)?;
        }
        Ok(if entry.is_some() { TakenIn::Awaited } else { TakenIn::New })
    }
}

enum TakenIn {
    /// It was here.
    Known,
    /// It was known, and had left the merged state.
    Awaited,
    /// Nothing was known of it.
    New,
}

/// The hub has an op for which another one was put in its place: unless it has that one too, it never will (OPS-12).
fn withdraw_replacement<S: Sql>(sql: &S, by: &str) -> Result<(), S::Error> {
    let mut id = by.to_owned();
    for _ in 0..REPLACED_MAX {
        match outbox::entry(sql, &id)? {
            Some(OutboxEntry { state: OutboxState::Replaced, code: Some(next), .. }) => id = next,
            Some(OutboxEntry { state: OutboxState::Stored, .. }) => return Ok(()),
            _ => break,
        }
    }
    if log::is_acknowledged(sql, &id)? {
        return Ok(());
    }
    outbox::remove(sql, &id)?;
    log::remove_and_refold(sql, &[id])
}
