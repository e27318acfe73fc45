//! What the spoke does when another log answers than the one it followed (OPS-33).

use ferry_types::OpSeq;

use super::{
    SpokeStep, log, outbox,
    peer::{self, Peer, PeerTarget},
};
use crate::sql::Sql;

/// Follows the log `hub_id` at `epoch` from its beginning, after giving it everything that it lacks.
pub(super) fn begin_repush<S: Sql>(
    sql: &S,
    (hub_id, epoch): (&str, &str),
    target: &PeerTarget,
) -> Result<(), S::Error> {
    outbox::begin_anew(sql)?;
    log::forget_hub_seqs(sql)?;
    log::forget_dropped(sql)?;
    peer::follow(sql, &beginning((hub_id, epoch), target, true))
}

/// Drops what the hub had, and follows its log from the beginning: what was never stored there is pushed (OPS-33, policy
/// discard).
pub(super) fn discard<S: Sql>(
    sql: &S,
    (hub_id, epoch): (&str, &str),
    target: &PeerTarget,
    step: &SpokeStep<'_>,
) -> Result<(), S::Error> {
    outbox::begin_anew(sql)?;
    let unstored = outbox::unstored_from(sql, "")?;
    let texts = log::clear_but(sql, &unstored)?;
    log::insert_again(sql, &texts, step)?;
    log::rebuild(sql)?;
    peer::follow(sql, &beginning((hub_id, epoch), target, false))
}

/// The first contact.
pub(super) fn follow_first<S: Sql>(
    sql: &S,
    identity: (&str, &str),
    target: &PeerTarget,
) -> Result<(), S::Error> {
    peer::follow(sql, &beginning(identity, target, false))
}

fn beginning((hub_id, epoch): (&str, &str), target: &PeerTarget, is_repushing: bool) -> Peer {
    Peer {
        hub_id: hub_id.to_owned(),
        epoch: epoch.to_owned(),
        url: target.url.clone(),
        database: target.database.clone(),
        cursor: OpSeq(0),
        cursor_id: None,
        cursor_stamp: None,
        floor: OpSeq(0),
        compacted: OpSeq(0),
        is_repushing,
    }
}
