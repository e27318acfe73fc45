//! Ops whose time has come leave the quarantine (OPS-10): one task for all databases.

use std::sync::Arc;

use ferry_core::ops::release::release_due;
use ferry_types::{
    DatabaseId, Result, UnixMillis,
    limits::{OPS_RELEASE_AGAIN_MS, OPS_RELEASED_AT_ONCE, OPS_RELEASES_AT_ONCE},
};
use futures_util::StreamExt as _;

use super::{
    push::{clocks, limits, took_effect},
    storage::{self, LogOutcome},
    watermark,
};
use crate::hub::Hub;
use ferry_control::Requester;

/// Begins the task.
pub(super) fn start(hub: &Arc<Hub>) {
    let (hub, tasks) = (Arc::clone(hub), hub.tasks.clone());
    tasks.spawn(async move {
        let stopping = hub.stopping.clone();
        loop {
            let due = tokio::select! {
                biased;
                // What is due then is looked at when the database is next used.
                () = stopping.cancelled() => return,
                due = hub.services.ops.releases.due(&*hub.clock) => due,
            };
            let releases = futures_util::stream::iter(due).for_each_concurrent(OPS_RELEASES_AT_ONCE, |id| {
                let hub = &hub;
                async move { release(hub, id).await }
            });
            releases.await;
        }
    });
}

async fn release(hub: &Arc<Hub>, id: DatabaseId) {
    let again_at = match release_in(hub, id).await {
        Ok(next) => next,
        Err(error) => {
            tracing::warn!(database = %id, %error, "ops wait longer in quarantine");
            // Where the database is gone, nothing is due any more.
            let exists = hub.control.database(id).is_some();
            exists.then(|| UnixMillis(hub.clock.now().0.saturating_add(OPS_RELEASE_AGAIN_MS)))
        }
    };
    if let Some(at) = again_at {
        hub.services.ops.releases.add(id, at);
    }
}

/// Releases what is due. Returns when there is more.
async fn release_in(hub: &Arc<Hub>, id: DatabaseId) -> Result<Option<UnixMillis>> {
    let database = hub.databases.get(id)?;
    watermark::compare(hub, &database).await?;
    let by = Requester::hub();
    loop {
        let clock = Arc::clone(&hub.clock);
        let config = hub.config.ops;
        let released = storage::write_existing(&database, &by, move |writer| {
            let clocks = clocks(&config, clock.now());
            let (limits, most) = (limits(&config), OPS_RELEASED_AT_ONCE);
            let mut pushed = release_due(&writer.sql, &clocks, &limits, writer.commit, most)?;
            writer.stored(pushed.effect.take());
            Ok(LogOutcome::Keep(pushed))
        });
        let Some(released) = released.await? else { return Ok(None) };
        let pushed = released.value;
        took_effect(hub, &database, &pushed);
        match pushed.next_release {
            Some(next) if next <= hub.clock.now() && !pushed.results.is_empty() => {
                // Others have their turn in between.
                tokio::task::yield_now().await;
            }
            next => return Ok(next.map(|at| UnixMillis(at.0.max(hub.clock.now().0.saturating_add(1000))))),
        }
    }
}
