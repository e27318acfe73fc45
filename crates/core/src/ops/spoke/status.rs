//! What `sync.status` tells of the store.

use ferry_types::OpSeq;

use super::{
    outbox::{self, OutboxProblem},
    peer::{self, Peer},
};
use crate::sql::Sql;

/// Ops that the hub would not take, as many as are listed.
const PROBLEMS_SHOWN_MAX: u32 = 1_000;

/// How far the store and its hub are apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpokeState {
    /// The log that it follows.
    pub peer: Option<Peer>,
    /// Own ops that the hub has not stored yet.
    pub pending: u64,
    /// Own ops that the hub has set aside or does not take; the oldest thousand.
    pub problems: Vec<OutboxProblem>,
}

/// The store holds every op of its hub up to this one.
///
/// # Errors
/// What storage reports.
pub fn cursor<S: Sql>(sql: &S) -> Result<OpSeq, S::Error> {
    Ok(peer::current(sql)?.map_or(OpSeq(0), |peer| peer.cursor))
}

/// Reads it.
///
/// # Errors
/// What storage reports.
pub fn state<S: Sql>(sql: &S) -> Result<SpokeState, S::Error> {
    let peer = peer::current(sql)?;
    let problems = outbox::problems(sql, PROBLEMS_SHOWN_MAX)?;
    Ok(SpokeState { peer, pending: outbox::waiting(sql)?, problems })
}
