//! One exchange with the hub (OPS-63), as a machine without I/O: it says what to ask, and stores what is answered. Each
//! step runs in one transaction of the store, so that a crash between two of them loses nothing: the next exchange begins
//! where the store stands.

mod answer;
mod request;

use std::collections::VecDeque;

use ferry_protocol::ops::{MISSING_IDS_MAX, PULL_LIMIT_MAX, PullQuery, Skip, SyncCounts};
use ferry_types::OpSeq;

pub use request::{SpokeFailure, SpokeNext, SpokePush, SpokeRefusal, SpokeRequest};

use super::{
    SpokeStep,
    credential::note_credential,
    log, outbox,
    peer::{self, Peer, PeerTarget},
    recovery, restamp,
};
use crate::{
    ops::{compact::compact_acknowledged, meta},
    sql::Sql,
};

/// Pulls and pushes of one exchange; what comes later is the next one's (OPS-63).
const ROUNDS_MAX: u32 = 3;
/// Logs that may follow each other within one exchange.
const CHANGES_MAX: u32 = 3;
/// Most ops of a push.
const PUSH_OPS_MAX: usize = 1_000;
/// Bytes of a push, unless one op alone has more.
const PUSH_BYTES_MAX: usize = 1 << 20;
/// Ops that one step of compaction looks at.
const COMPACT_OPS_MAX: usize = 2_000;
/// Bytes of a page that is asked for.
const PULL_BYTES_WANTED: usize = 4 << 20;

/// One exchange.
#[derive(Debug)]
pub struct SpokeExchange {
    target: PeerTarget,
    /// A log that is followed though it is a foreign one.
    accepted: Option<String>,
    phase: Phase,
    counts: SyncCounts,
    rounds: u32,
    changes: u32,
    /// The highest op number that the hub told.
    head: OpSeq,
    /// Most ops and bytes of a push.
    batch: (usize, usize),
    /// Ids of the ops that the last request was about.
    asked: Vec<String>,
    /// What is known to be stored behind the cursor was told in this exchange, so that its numbers are those of the log.
    trusts_stored: bool,
    /// Digest of the credential, until it is noted.
    credential: Option<String>,
    warnings: Vec<String>,
    /// Own ops have left the log since that was last asked.
    has_dropped_own: bool,
}

#[derive(Debug)]
enum Phase {
    Begin,
    /// Asking whether the log still holds what it is known to have stored behind the cursor.
    Prove,
    Pull,
    /// Ops up to this HLC are pushed; what is appended meanwhile is the next exchange's.
    Push {
        until: String,
    },
    /// Looking for an op that both logs have, behind this place of the store.
    Compare {
        hub_id: String,
        epoch: String,
        after: i64,
    },
    /// Looking for what the log lacks, behind this place of the store.
    Missing {
        after: i64,
    },
    /// Giving it what it lacks.
    Relay {
        after: i64,
        waiting: VecDeque<String>,
    },
    Snapshot,
    /// Dropping what the hub has dropped, behind this place of the store (OPS-41).
    Compact {
        after: OpSeq,
    },
    Done,
    Failed(SpokeFailure),
}

impl SpokeExchange {
    /// An exchange with the hub at `target`. `accepted`: the log that the user wants to be followed whatever it holds.
    #[must_use]
    pub const fn new(target: PeerTarget, accepted: Option<String>) -> Self {
        Self {
            target,
            accepted,
            phase: Phase::Begin,
            counts: SyncCounts { pulled: 0, applied: 0, pushed: 0, quarantined: 0, rejected: 0 },
            rounds: 1,
            changes: 0,
            head: OpSeq(0),
            batch: (PUSH_OPS_MAX, PUSH_BYTES_MAX),
            asked: Vec::new(),
            trusts_stored: true,
            credential: None,
            warnings: Vec::new(),
            has_dropped_own: false,
        }
    }

    /// The same, made with the credential of this digest: with another one than the last, ops are tried again that the hub
    /// refused for want of rights.
    #[must_use]
    pub fn with_credential(self, digest: String) -> Self {
        Self { credential: Some(digest), ..self }
    }

    /// What has come of it so far.
    #[must_use]
    pub const fn counts(&self) -> SyncCounts {
        self.counts
    }

    /// Whether own ops have left the log since the last call: who is editing a text goes on as another client of yrs, for its
    /// clocks are told to others, and may not be given to other edits.
    pub const fn take_dropped_own(&mut self) -> bool {
        std::mem::replace(&mut self.has_dropped_own, false)
    }

    /// What an operator should know, since the last call.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// What to do next.
    ///
    /// # Errors
    /// What storage reports. So of all steps.
    pub fn next<S: Sql>(&mut self, sql: &S, step: &mut SpokeStep<'_>) -> Result<SpokeNext, S::Error> {
        loop {
            let request = match &mut self.phase {
                Phase::Begin => {
                    self.begin(sql, step)?;
                    None
                }
                Phase::Prove => Some(self.prove(sql)?),
                Phase::Pull => Some(SpokeRequest::Pull(self.pull_query(sql)?)),
                Phase::Push { .. } => self.push(sql, step)?,
                Phase::Compare { .. } => self.compare(sql)?,
                Phase::Missing { .. } => self.look_for_missing(sql)?,
                Phase::Relay { .. } => self.relay(sql)?,
                Phase::Snapshot => Some(SpokeRequest::Snapshot),
                Phase::Compact { after } => match compact(sql, *after)? {
                    Some(next) => {
                        *after = next;
                        return Ok(SpokeNext::Again);
                    }
                    None => {
                        self.phase = Phase::Done;
                        None
                    }
                },
                Phase::Done => return Ok(SpokeNext::Done),
                Phase::Failed(failure) => return Ok(SpokeNext::Failed(failure.clone())),
            };
            if let Some(request) = request {
                return Ok(SpokeNext::Ask(request));
            }
        }
    }

    fn begin<S: Sql>(&mut self, sql: &S, step: &SpokeStep<'_>) -> Result<(), S::Error> {
        if let Some(digest) = self.credential.take() {
            note_credential(sql, &digest, step)?;
        }
        self.phase = if peer::current(sql)?.is_some_and(|peer| peer.is_repushing) {
            outbox::forget_all_stored(sql)?;
            Phase::Missing { after: 0 }
        } else if outbox::stored_ids(sql, 1)?.is_empty() {
            Phase::Pull
        } else {
            Phase::Prove
        };
        Ok(())
    }

    /// The cursor proves what lies before it. What lies behind it was stored in an earlier exchange: a log that was put back
    /// since, with all that its hub remembers, has lost it and gives its numbers to other ops. If it has the ops, they are
    /// pulled again: their numbers may be others.
    fn prove<S: Sql>(&mut self, sql: &S) -> Result<SpokeRequest, S::Error> {
        self.trusts_stored = false;
        self.asked = outbox::stored_ids(sql, MISSING_IDS_MAX)?;
        Ok(SpokeRequest::Missing(self.asked.clone()))
    }

    fn push<S: Sql>(&mut self, sql: &S, step: &mut SpokeStep<'_>) -> Result<Option<SpokeRequest>, S::Error> {
        if log::is_cloned(sql)? {
            self.warnings.push(
                "the hub holds ops of this store that the store does not know: it was restored or copied, and goes on under \
                 an origin of its own"
                    .to_owned(),
            );
            restamp::part_from_clone(sql, step)?;
            self.phase = Phase::Push { until: outbox::newest_pending(sql)?.unwrap_or_default() };
        }
        let Phase::Push { until } = &self.phase else { return Ok(None) };
        let batch = outbox::pending(sql, until, self.batch)?;
        if batch.is_empty() {
            self.end_round(sql)?;
            return Ok(None);
        }
        self.push_request(sql, batch).map(Some)
    }

    fn push_request<S: Sql>(
        &mut self,
        sql: &S,
        batch: Vec<(String, String)>,
    ) -> Result<SpokeRequest, S::Error> {
        let peer = peer::current(sql)?;
        let (ids, ops) = batch.into_iter().unzip();
        self.asked = ids;
        let (hub_id, epoch) = identity(peer.as_ref());
        Ok(SpokeRequest::Push(SpokePush { origin: meta::origin(sql)?, hub_id, epoch, ops }))
    }

    fn pull_query<S: Sql>(&self, sql: &S) -> Result<PullQuery, S::Error> {
        let peer = peer::current(sql)?;
        let (hub_id, epoch) = identity(peer.as_ref());
        let cursor = peer.as_ref().map_or(OpSeq(0), |peer| peer.cursor);
        let (after_id, after_stamp) =
            peer.map(|peer| (peer.cursor_id, peer.cursor_stamp)).unwrap_or_default();
        let skip = if self.trusts_stored { outbox::skip(sql, cursor)? } else { Skip::default() };
        let (limit, bytes) = (PULL_LIMIT_MAX, PULL_BYTES_WANTED);
        Ok(PullQuery {
            after_seq: cursor,
            after_id,
            // Empty, it asks for the stamps to come.
            after_stamp: Some(after_stamp.unwrap_or_default()),
            limit,
            bytes,
            skip,
            hub_id,
            epoch,
        })
    }

    /// Passes own ops that are stored right behind the cursor (OPS-09); gives the cursor.
    fn pass_stored<S: Sql>(&self, sql: &S) -> Result<OpSeq, S::Error> {
        let cursor = peer::current(sql)?.map_or(OpSeq(0), |peer| peer.cursor);
        let run = if self.trusts_stored { outbox::stored_run(sql, cursor)? } else { None };
        let Some((last, id, stamp)) = run else { return Ok(cursor) };
        peer::set_cursor(sql, last, (Some(&id), stamp.as_deref()))?;
        outbox::forget_stored(sql, last)?;
        Ok(last)
    }

    /// Everything is pushed: whether there is more to pull.
    fn end_round<S: Sql>(&mut self, sql: &S) -> Result<(), S::Error> {
        let cursor = self.pass_stored(sql)?;
        let goes_on = self.head > cursor && self.rounds < ROUNDS_MAX;
        self.rounds += 1;
        self.phase = if goes_on { Phase::Pull } else { Phase::Compact { after: OpSeq(0) } };
        Ok(())
    }

    fn compare<S: Sql>(&mut self, sql: &S) -> Result<Option<SpokeRequest>, S::Error> {
        let Phase::Compare { hub_id, epoch, after } = &mut self.phase else { return Ok(None) };
        let (ids, last) = log::ids_after(sql, *after, MISSING_IDS_MAX)?;
        if !ids.is_empty() {
            *after = last;
            self.asked.clone_from(&ids);
            return Ok(Some(SpokeRequest::Missing(ids)));
        }
        // A store without ops has nothing to be mixed with others.
        if *after == 0 {
            let (hub_id, epoch) = (std::mem::take(hub_id), std::mem::take(epoch));
            self.give_all(sql, &hub_id, &epoch)?;
        } else {
            self.phase = Phase::Failed(SpokeFailure::Foreign { hub_id: std::mem::take(hub_id) });
        }
        Ok(None)
    }

    fn look_for_missing<S: Sql>(&mut self, sql: &S) -> Result<Option<SpokeRequest>, S::Error> {
        let Phase::Missing { after } = &mut self.phase else { return Ok(None) };
        let (ids, last) = log::ids_after(sql, *after, MISSING_IDS_MAX)?;
        if ids.is_empty() {
            self.phase = Phase::Pull;
            return Ok(None);
        }
        *after = last;
        self.asked.clone_from(&ids);
        Ok(Some(SpokeRequest::Missing(ids)))
    }

    fn relay<S: Sql>(&mut self, sql: &S) -> Result<Option<SpokeRequest>, S::Error> {
        let Phase::Relay { after, waiting } = &mut self.phase else { return Ok(None) };
        let batch = log::texts(sql, waiting, self.batch)?;
        if batch.is_empty() {
            self.phase = Phase::Missing { after: *after };
            return Ok(None);
        }
        self.push_request(sql, batch).map(Some)
    }

    /// Follows a log that lacks what this store has, or may lack it (OPS-33).
    fn give_all<S: Sql>(&mut self, sql: &S, hub_id: &str, epoch: &str) -> Result<(), S::Error> {
        self.warnings.push(format!(
            "the hub's log was restored or replaced: it is given what it lacks ({hub_id} {epoch})"
        ));
        recovery::begin_repush(sql, (hub_id, epoch), &self.target)?;
        self.phase = Phase::Missing { after: 0 };
        Ok(())
    }
}

/// Drops a part of what the hub has dropped; gives where the next part begins.
fn compact<S: Sql>(sql: &S, after: OpSeq) -> Result<Option<OpSeq>, S::Error> {
    let Some(peer) = peer::current(sql)?.filter(|peer| peer.compacted < peer.floor) else { return Ok(None) };
    let waiting = outbox::waiting_entities(sql)?;
    let (_, next) = compact_acknowledged(sql, peer.floor, (after, COMPACT_OPS_MAX), &waiting)?;
    if next.is_none() {
        peer::set_compacted(sql, peer.floor)?;
    }
    Ok(next)
}

/// The log that a request is meant for.
fn identity(peer: Option<&Peer>) -> (Option<String>, Option<String>) {
    peer.map(|peer| (peer.hub_id.clone(), peer.epoch.clone())).unzip()
}
