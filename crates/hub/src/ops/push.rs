//! Ops on their way into the log, by either wire.

use std::sync::{Arc, atomic::Ordering};

use ferry_core::ops::{
    Prefixes,
    epoch::{LogRefusal, prove_log},
    meta::{self, LogMeta},
    push::{Clocks, PushLimits, PushedOps, Pushing, push as push_ops},
};
use ferry_protocol::ops::{OpCode, OpResult, OpStatus};
use ferry_sqlite::fault;
use ferry_types::{Error, Model, OriginId, Reason, Result, UnixMillis};

use super::{
    access::is_admin,
    metric,
    storage::{self, LogOutcome},
};
use crate::{
    config::OpsConfig,
    connections::PusherKey,
    database::{Committed, Database},
    entry::RequestContext,
    http::Turn,
    hub::Hub,
};

/// A batch as it came.
pub(super) struct OpsBatch {
    /// The device that pushes.
    pub(super) origin: Option<OriginId>,
    /// Of which log it believes to push into.
    pub(super) hub_id: Option<String>,
    pub(super) epoch: Option<String>,
    /// Each the text of an op.
    pub(super) ops: Vec<String>,
    pub(super) via_shim: bool,
    /// All or none.
    pub(super) is_atomic: bool,
    /// For as long as there are ops.
    pub(super) turn: Option<Turn>,
}

/// What a batch came to.
pub(super) enum PushEnd {
    Pushed {
        pushed: PushedOps,
        /// The log behind it; `None`: there is none yet.
        log: Option<LogMeta>,
    },
    /// An op of an atomic batch failed: nothing is stored.
    AtomicFailed(PushedOps),
    /// It is another log.
    Refused(LogRefusal),
}

/// Times as an engine judges them now.
pub(super) const fn clocks(config: &OpsConfig, now: UnixMillis) -> Clocks {
    Clocks { now, max_skew_ms: config.max_skew_ms }
}

/// What a push may take.
pub(super) const fn limits(config: &OpsConfig) -> PushLimits {
    PushLimits {
        op_max_bytes: config.op_max_bytes,
        foreign_max_bytes: config.foreign_op_max_bytes,
        text_max_bytes: config.text_max_bytes as u64,
        quarantine_max_ops: config.quarantine_max_ops,
        quarantine_max_bytes: config.quarantine_max_bytes,
    }
}

/// Commits a batch: what is accepted of it is stored together.
///
/// # Errors
/// What the engine refuses as a whole, the actor or storage reports; nothing of the batch is stored then.
pub(super) async fn push(
    hub: &Arc<Hub>,
    context: &RequestContext,
    batch: OpsBatch,
) -> Result<Committed<PushEnd>> {
    let (origin, first) = (batch.origin, batch.ops.first().and_then(|op| id_of(op)));
    let pushed = commit(hub, context, batch).await;
    let nameless = || format!("{} at {}", context.requester.principal, context.requester.origin.ip);
    let pusher = || PusherKey {
        database: context.database.id(),
        model: Model::Ops,
        scope: Box::default(),
        client: origin.map_or_else(nameless, |origin| origin.to_string()).into(),
        is_let_in: true,
    };
    let first = || first.unwrap_or_default();
    let all_rejected = pushed.as_ref().ok().and_then(|committed| rejection(&committed.value));
    let outcome = all_rejected.as_ref().map_or_else(|| pushed.as_ref().map(drop), Err);
    hub.stuck.pushed(outcome, pusher, first, hub.clock.now());
    pushed
}

/// Why nothing of a batch was taken, if nothing was.
fn rejection(end: &PushEnd) -> Option<Error> {
    let (PushEnd::Pushed { pushed, .. } | PushEnd::AtomicFailed(pushed)) = end else { return None };
    let is_taken = |result: &OpResult| result.status != OpStatus::Rejected;
    let is_kept = matches!(end, PushEnd::Pushed { .. }) && pushed.results.iter().any(is_taken);
    let first = pushed.results.iter().find(|result| !is_taken(result)).filter(|_| !is_kept)?;
    let code = first.code.map_or("rejected", OpCode::as_str);
    let message = format!("{code}: {}", first.message.as_deref().unwrap_or("the op is refused"));
    Some(Error::new(Reason::InvalidArgument, message))
}

/// The id of an op, by its text.
fn id_of(op: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
    }
    serde_json::from_str::<Named>(op).ok().map(|named| named.id)
}

async fn commit(hub: &Arc<Hub>, context: &RequestContext, batch: OpsBatch) -> Result<Committed<PushEnd>> {
    let (clock, config) = (Arc::clone(&hub.clock), hub.config.ops);
    let (owner, is_admin) = (context.auth.principal.owner(), is_admin(context));
    let restrictions = Arc::clone(&context.auth.restrictions);
    let committed = storage::write(hub, &context.database, &context.requester, move |writer| {
        let _turn = &batch.turn;
        if let Err(refusal) = prove_log(&writer.log, batch.hub_id.as_deref(), batch.epoch.as_deref()) {
            return Ok(LogOutcome::Undo(PushEnd::Refused(refusal)));
        }
        // The hub's own origin is nobody's: whoever brings its ops back after a loss is welcome.
        let own = if batch.origin.is_some() { meta::origin(&writer.sql)? } else { None };
        let by = Pushing {
            origin: batch.origin.filter(|origin| own != Some(*origin)),
            principal: &owner,
            is_admin,
            prefixes: Prefixes(&restrictions.table_prefixes),
            via_shim: batch.via_shim,
            atomic: batch.is_atomic,
        };
        let ops: Vec<&str> = batch.ops.iter().map(String::as_str).collect();
        let clocks = clocks(&config, clock.now());
        let mut pushed = push_ops(&writer.sql, &ops, &by, &clocks, &limits(&config), writer.commit)?;
        fault::point("ops.applied")?;
        if batch.is_atomic && !pushed.is_whole {
            return Ok(LogOutcome::Undo(PushEnd::AtomicFailed(pushed)));
        }
        // A log is not made, and a kind not fixed, by what is refused.
        let is_kept = !writer.is_new || pushed.effect.is_some() || pushed.quarantined > 0;
        writer.stored(pushed.effect.take());
        let log = is_kept.then(|| LogMeta { head: pushed.head, ..writer.log.clone() });
        let pushed = PushEnd::Pushed { pushed, log };
        Ok(if is_kept { LogOutcome::Keep(pushed) } else { LogOutcome::Undo(pushed) })
    });
    let committed = committed.await?;
    // On disk and published, and nobody has been told.
    fault::point("ops.committed").map_err(ferry_sqlite::Error::into_refusal)?;
    if let PushEnd::Pushed { pushed, .. } = &committed.value {
        took_effect(hub, &context.database, pushed);
    }
    Ok(committed)
}

/// Counts what became of ops, and sees to what is due because of them.
pub(super) fn took_effect(hub: &Hub, database: &Arc<Database>, pushed: &PushedOps) {
    metric::pushed(pushed);
    if let Some(at) = pushed.next_release {
        hub.services.ops.releases.add(database.id(), at);
    }
    if pushed.quarantined > 0 || pushed.conflicts > 0 || hub.services.ops.counts.has(database.id()) {
        database.models().ops.is_uncounted.store(true, Ordering::Release);
    }
}
