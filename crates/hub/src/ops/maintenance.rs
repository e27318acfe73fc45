//! What the hub does to logs on its own: compaction and purge, in steps, so that others have their turn in between
//! (OPS-40, OPS-43).

use std::sync::Arc;

use ferry_core::ops::{
    compact::{Compaction, compact_step, purge_step},
    meta, quarantine,
};
use ferry_types::{
    OpSeq, Result, UnixMillis,
    limits::{OPS_COMPACT_EVERY_MS, OPS_COMPACTED_AT_ONCE},
};

use super::{
    counts,
    storage::{self, LogOutcome},
    watermark,
};
use crate::{database::Database, hub::Hub};
use ferry_control::Requester;

/// Does what is due in every open database.
pub(super) async fn sweep(hub: &Arc<Hub>) {
    for database in hub.databases.all() {
        if let Err(error) = watermark::compare(hub, &database).await {
            tracing::warn!(database = %database.id(), %error, "the log of ops could not be looked at");
            continue;
        }
        maintain(hub, &database).await;
    }
}

/// Begins what is due in a database that comes into use.
pub(super) fn opened(hub: &Arc<Hub>, database: &Arc<Database>) {
    let (hub, database) = (Arc::clone(hub), Arc::clone(database));
    let tasks = hub.tasks.clone();
    // What became due while nobody used it is done beside its first request.
    tasks.spawn(async move {
        match storage::read(&database, |sql| quarantine::next_release(sql)).await {
            // There is no log.
            Ok(None) => return,
            Ok(Some(Some(at))) => hub.services.ops.releases.add(database.id(), at),
            Ok(Some(None)) => {}
            Err(error) => {
                tracing::warn!(database = %database.id(), %error, "the quarantine of ops could not be looked at");
            }
        }
        counts::count(&hub, &database).await;
        maintain(&hub, &database).await;
    });
}

async fn maintain(hub: &Arc<Hub>, database: &Arc<Database>) {
    if let Err(error) = run(hub, database).await {
        tracing::warn!(database = %database.id(), %error, "the log of ops was not compacted; it is tried again");
    }
}

async fn run(hub: &Arc<Hub>, database: &Arc<Database>) -> Result<()> {
    let now = hub.clock.now();
    let last = storage::read(database, |sql| meta::compacted(sql)).await?;
    let Some(last) = last else { return Ok(()) };
    // A time ahead of the clock was noted by a clock that was wrong.
    if last.is_some_and(|last| (0..OPS_COMPACT_EVERY_MS).contains(&now.0.saturating_sub(last.0))) {
        return Ok(());
    }
    let compacted = compact(hub, database, &Requester::hub()).await?;
    if compacted.dropped > 0 {
        tracing::info!(
            database = %database.id(), dropped = compacted.dropped, floor = compacted.floor.0,
            "the log of ops was compacted"
        );
    }
    Ok(())
}

/// What a compaction came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CompactionDone {
    pub(super) dropped: u64,
    pub(super) floor: OpSeq,
}

/// Compacts a log and forgets what lies behind the horizon, in steps that are commits of their own.
///
/// # Errors
/// What the actor or storage reports; the steps before it stay.
pub(super) async fn compact(
    hub: &Arc<Hub>,
    database: &Arc<Database>,
    by: &Requester,
) -> Result<CompactionDone> {
    let (config, mut done) = (hub.config.ops, CompactionDone::default());
    loop {
        let clock = Arc::clone(&hub.clock);
        let step = storage::write_existing(database, by, move |writer| {
            let now = clock.now();
            let asked = Compaction { now, days: config.retain_days, most: OPS_COMPACTED_AT_ONCE };
            let step = compact_step(&writer.sql, &asked)?;
            Ok(LogOutcome::Keep(step))
        });
        let Some(step) = step.await? else { return Ok(done) };
        done.dropped += step.value.dropped;
        done.floor = step.value.floor;
        if !step.value.has_more || hub.stopping.is_cancelled() {
            break;
        }
    }
    loop {
        let clock = Arc::clone(&hub.clock);
        let step = storage::write_existing(database, by, move |writer| {
            let now = clock.now();
            // What is older than the horizon is older than it for the devices too: were the hub's clock alone asked, one
            // that is years ahead would turn every later op away.
            let newest = i64::try_from(meta::clock(&writer.sql)?.ms).unwrap_or(i64::MAX);
            let horizon_from = now.min(UnixMillis(newest));
            let asked =
                Compaction { now: horizon_from, days: config.horizon_days, most: OPS_COMPACTED_AT_ONCE };
            let step = purge_step(&writer.sql, &asked)?;
            if !step.has_more {
                meta::set_compacted(&writer.sql, now)?;
            }
            Ok(LogOutcome::Keep(step))
        });
        let Some(step) = step.await? else { return Ok(done) };
        done.floor = done.floor.max(step.value.floor);
        if !step.value.has_more || hub.stopping.is_cancelled() {
            return Ok(done);
        }
    }
}
