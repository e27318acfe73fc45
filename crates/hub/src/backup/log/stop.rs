//! The end of the log: what was acknowledged last is gathered and brought away before the hub ends, as far as the targets take it.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use super::HubLog;
use crate::backup::service::Backups;

/// How long the hub waits for the targets to take the last interval.
const LAST_INTERVAL: Duration = Duration::from_secs(10);

/// Ships what was acknowledged, since nothing more is. A target that does not take it holds nothing up.
pub(crate) async fn ship_the_last(backups: &Backups, following: Vec<JoinHandle<()>>) {
    let Some(log) = backups.log() else { return };
    log.end.last_write.cancel();
    let aborts: Vec<_> = following.iter().map(JoinHandle::abort_handle).collect();
    let all = futures_util::future::join_all(following);
    if tokio::time::timeout(LAST_INTERVAL, all).await.is_err() {
        log.end.cut_off.cancel();
        aborts.iter().for_each(tokio::task::AbortHandle::abort);
    }
    tell(backups, log);
}

fn tell(backups: &Backups, log: &Arc<HubLog>) {
    for (index, target) in backups.targets().iter().enumerate() {
        // Where nothing is brought for now, nothing failed.
        if target.anchor.taken().is_none() && !backups.is_paused() && log.is_behind(index) {
            tracing::error!(
                backup_target = target.url(),
                "the last interval was not shipped: this target lacks what was written last, until the hub's next start"
            );
        }
    }
}
