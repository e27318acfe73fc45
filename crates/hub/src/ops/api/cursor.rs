//! Cursors that a log cannot continue (OPS-32).

use std::sync::atomic::Ordering;

use ferry_core::ops::{epoch::LogRefusal, meta::LogMeta};
use ferry_protocol::ops::EpochPolicy;
use ferry_types::OpSeq;

use super::Asked;

/// What a log that nobody has made yet answers to who believes to know it.
pub(super) fn no_log() -> LogMeta {
    LogMeta {
        hub_id: String::new(),
        epoch: String::new(),
        policy: EpochPolicy::Repush.as_str().to_owned(),
        head: OpSeq(0),
        floor: OpSeq(0),
        purge_hlc: None,
    }
}

/// What is to be said of a cursor where there is no log yet.
pub(super) fn proof_of_no_log(log: &LogMeta, names_one: bool, after: OpSeq) -> Result<(), LogRefusal> {
    if names_one {
        return Err(LogRefusal::EpochChanged { policy: EpochPolicy::Repush });
    }
    if after > log.head { Err(LogRefusal::Diverged) } else { Ok(()) }
}

/// Tells the operator, once for each epoch, that a cursor proved what the hub has lost.
pub(super) fn note_loss(asked: &Asked<'_>, log: &LogMeta, refusal: LogRefusal) {
    if refusal != LogRefusal::Diverged {
        return;
    }
    let database = &asked.context.database;
    if !database.models().ops.told_of_loss.swap(true, Ordering::AcqRel) {
        tracing::warn!(
            database = %database.id(), epoch = %log.epoch, head = log.head.0,
            "a spoke has a cursor that this log does not continue: the hub was put back to an older state; spokes send \
             again what they hold"
        );
    }
}
