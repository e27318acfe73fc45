//! Cursors that a log cannot continue (OPS-32).

use std::sync::atomic::Ordering;

use ferry_core::ops::{
    epoch::{LogRefusal, prove_log},
    meta::LogMeta,
};
use ferry_types::{Model, OpSeq};

use super::Asked;
use crate::lineage::count_evidence;

/// Whether a cursor may be continued where there is no log yet; `log` is the one to come.
pub(super) fn prove_without_log(
    log: &LogMeta,
    (hub_id, epoch): (Option<&str>, Option<&str>),
    after: OpSeq,
) -> Result<(), LogRefusal> {
    prove_log(log, hub_id, epoch)?;
    if after > log.head { Err(LogRefusal::Diverged) } else { Ok(()) }
}

/// Tells the operator, once for each epoch, that a cursor proved what the hub has lost.
pub(super) fn note_loss(asked: &Asked<'_>, log: &LogMeta, refusal: LogRefusal) {
    if refusal != LogRefusal::Diverged {
        return;
    }
    count_evidence(Model::Ops);
    let database = &asked.context.database;
    if !database.models().ops.told_of_loss.swap(true, Ordering::AcqRel) {
        tracing::warn!(
            database = %database.id(), epoch = %log.epoch, head = log.head.0,
            "a spoke has a cursor that this log does not continue: the hub was put back to an older state; spokes send \
             again what they hold"
        );
    }
}
