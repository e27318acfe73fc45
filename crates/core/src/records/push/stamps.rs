//! Times that the hub chose for a device's writes, by record and field: a push may hold hundreds of thousands of them, so
//! each is found without a look at the others.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound::{Excluded, Unbounded},
};

use ferry_protocol::records::UnixNanos;
use ferry_types::limits::RECORDS_STAMPS_PER_RECORD;

use super::super::store::Stamp;

/// Those of one field.
#[derive(Debug, Default)]
pub(super) struct OfField {
    /// By the time that was sent and the digest of what was written.
    timed: BTreeMap<(UnixNanos, i64), UnixNanos>,
    /// By the digest of what was written without a time.
    untimed: HashMap<i64, UnixNanos>,
    /// What was claimed, by the time that counts.
    claims: HashMap<UnixNanos, UnixNanos>,
    last_untimed: Option<UnixNanos>,
    last: Option<UnixNanos>,
}

impl OfField {
    fn take(&mut self, stamp: &Stamp) {
        let at = stamp.at;
        match stamp.sent {
            Some(sent) => {
                self.timed.insert((sent, stamp.digest), at);
            }
            None => {
                self.untimed.insert(stamp.digest, at);
                self.last_untimed = self.last_untimed.max(Some(at));
            }
        }
        let claim = stamp.sent.unwrap_or(at);
        self.claims.entry(at).and_modify(|held| *held = claim.max(*held)).or_insert(claim);
        self.last = self.last.max(Some(at));
    }

    /// The time of what claimed `claim`, and whether it was that very content.
    pub(super) fn timed(&self, claim: UnixNanos, digest: i64) -> Option<(UnixNanos, bool)> {
        if let Some(at) = self.timed.get(&(claim, digest)) {
            return Some((*at, true));
        }
        self.timed.range((claim, i64::MIN)..=(claim, i64::MAX)).next().map(|(_, at)| (*at, false))
    }

    /// The time of what was written without one.
    pub(super) fn untimed(&self, digest: i64) -> Option<UnixNanos> {
        self.untimed.get(&digest).copied()
    }

    /// The time of what was claimed last before `claim`.
    pub(super) fn before(&self, claim: UnixNanos) -> Option<UnixNanos> {
        let timed = self.timed.range(..(claim, i64::MIN)).next_back().map(|(_, at)| *at);
        timed.max(self.last_untimed.filter(|at| *at < claim))
    }

    /// The time of what was claimed first after `claim`.
    pub(super) fn behind(&self, claim: UnixNanos) -> Option<UnixNanos> {
        self.timed.range((Excluded((claim, i64::MAX)), Unbounded)).next().map(|(_, at)| *at)
    }

    /// What was claimed by the write that counts as of `at`.
    pub(super) fn claim(&self, at: UnixNanos) -> Option<UnixNanos> {
        self.claims.get(&at).copied()
    }

    /// The latest of all.
    pub(super) const fn last(&self) -> Option<UnixNanos> {
        self.last
    }
}

/// The stamps of one device for a record.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// By field.
    chosen: HashMap<String, OfField>,
    /// The times of all of them.
    times: Vec<UnixNanos>,
    /// Those that this push adds.
    pub(super) new: Vec<Stamp>,
}

impl Stamps {
    /// Takes one that is stored.
    pub(super) fn take(&mut self, stamp: &Stamp) {
        self.times.push(stamp.at);
        match self.chosen.get_mut(&stamp.field) {
            Some(held) => held.take(stamp),
            None => self.chosen.entry(stamp.field.clone()).or_default().take(stamp),
        }
    }

    /// Adds one of this push.
    pub(super) fn add(&mut self, stamp: Stamp) {
        self.take(&stamp);
        self.new.push(stamp);
    }

    /// Those of a field.
    pub(super) fn of(&self, field: &str) -> Option<&OfField> {
        self.chosen.get(field)
    }

    /// Where there are more stamps than are kept: the time before which they are forgotten. Takes these out of what this
    /// push adds.
    pub(super) fn forget(&mut self) -> Option<UnixNanos> {
        let more = self.times.len().checked_sub(RECORDS_STAMPS_PER_RECORD).filter(|more| *more > 0)?;
        let oldest = *self.times.select_nth_unstable(more).1;
        self.new.retain(|stamp| stamp.at >= oldest);
        Some(oldest)
    }
}
