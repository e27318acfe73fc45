//! Backups by themselves: one every so often, then what is no longer kept goes, and now and then the newest is verified.

use std::{sync::Arc, time::Duration};

use ferry_types::Result;
use tokio::{task::JoinHandle, time::MissedTickBehavior};

use super::{
    due::{millis, next_due},
    jobs::BackupJob,
    log::{follow_changes, follow_targets},
    merge::follow_merges,
    service::Backups,
    verify::WantedVerify,
};

/// How often it is looked whether something is due: clocks may be set.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failure it is tried again so much later.
const RETRY_MS: i64 = 60_000;
/// And so much later where the log waits for a snapshot.
const BASE_RETRY_MS: i64 = 5_000;

/// Takes, prunes and verifies as the settings say, as long as the hub runs.
pub(crate) async fn follow_schedule(backups: Arc<Backups>) {
    let hub = Arc::clone(backups.hub());
    let config = &hub.config.backup;
    if backups.targets().is_empty() {
        return;
    }
    let (mut verified, mut retry) = (find_last(&backups).await, 0);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = hub.stopping.cancelled() => return,
        }
        let now = hub.clock.now().0;
        if now < retry || backups.is_paused() {
            continue;
        }
        // One that another hub has taken waits for the operator.
        let is_ours = |index: &usize| backups.targets()[*index].anchor.taken().is_none();
        let is_due = |index: &usize| {
            next_due(config, backups.targets()[*index].last_ms()).is_some_and(|due| due <= now)
        };
        let due: Vec<usize> =
            (0..backups.targets().len()).filter(|index| is_ours(index) && is_due(index)).collect();
        if !due.is_empty() {
            let is_done =
                run(backups.begin_create(None, Some(due))).await && run(backups.begin_prune(false)).await;
            if !is_done {
                retry = hub.clock.now().0 + RETRY_MS;
                continue;
            }
        }
        // What changes is shipped behind a snapshot: at a start, and where a part of it was lost.
        let mut lacking = backups.log().map(|log| log.lacking_bases()).unwrap_or_default();
        lacking.retain(is_ours);
        if !lacking.is_empty() {
            if !run(backups.begin_create(None, Some(lacking))).await {
                retry = hub.clock.now().0 + BASE_RETRY_MS;
                continue;
            }
            run(backups.begin_prune(false)).await;
        }
        if let Some(every) = config.verify_every
            && backups.targets().iter().all(|target| target.last_ms().is_some())
            && verified.is_none_or(|seconds| seconds * 1000 + millis(every) <= now)
        {
            // One that failed is told by its metric and its log; it is not repeated without end.
            run(backups.begin_verify(WantedVerify::NEWEST)).await;
            verified = Some(hub.clock.now().as_secs());
        }
    }
}

/// Gathers and ships what changes, as long as the hub runs, if the settings ask for it.
pub(crate) fn follow_log(backups: &Arc<Backups>) -> Vec<JoinHandle<()>> {
    let Some(log) = backups.log() else { return Vec::new() };
    let hub = backups.hub();
    vec![
        tokio::spawn(follow_changes(Arc::clone(hub), Arc::clone(log))),
        tokio::spawn(follow_targets(Arc::clone(hub), Arc::clone(log))),
        tokio::spawn(follow_merges(Arc::clone(backups))),
    ]
}

/// Waits for a job that was begun. True if it did what it should.
async fn run(begun: Result<Arc<BackupJob>>) -> bool {
    match begun {
        Ok(job) => job.ended().await,
        // Somebody asked for the same.
        Err(error) => {
            tracing::info!(%error, "a scheduled backup waits");
            false
        }
    }
}

/// What the targets have already. Returns when one of it was verified, in Unix seconds.
async fn find_last(backups: &Arc<Backups>) -> Option<i64> {
    let backups = Arc::clone(backups);
    let found = tokio::task::spawn_blocking(move || {
        for target in backups.targets() {
            if let Err(error) = backups.look_at(target) {
                target.failed(&error.message);
            }
        }
        backups.last_verified().unwrap_or(None)
    });
    found.await.unwrap_or(None)
}
