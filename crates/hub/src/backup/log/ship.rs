//! What was gathered is brought to the targets: to each in its own time, so that one that fails holds up none of the others.

use std::{sync::Arc, time::Duration};

use ferry_backup::{BackupTarget, SpooledInterval, TargetAccess, open_target};

use super::HubLog;
use crate::hub::Hub;

/// How long after a failure it is tried again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Ships to all targets as long as the hub runs.
pub(in crate::backup) async fn follow_targets(hub: Arc<Hub>, log: Arc<HubLog>) {
    let all = (0..hub.config.backup.targets.len()).map(|target| follow(&hub, &log, target));
    futures_util::future::join_all(all).await;
}

async fn follow(hub: &Arc<Hub>, log: &Arc<HubLog>, target: usize) {
    let (mut open, mut retry): (Option<Arc<dyn BackupTarget>>, Duration) = (None, RETRY.0);
    loop {
        let mut woken = std::pin::pin!(log.wake.notified());
        woken.as_mut().enable();
        let Some((interval, target_id)) = log.next_for(target) else {
            tokio::select! {
                () = woken => continue,
                () = hub.stopping.cancelled() => return,
            }
        };
        let (asking, shipping, known) = (Arc::clone(hub), Arc::clone(&interval), open.take());
        let shipped = tokio::task::spawn_blocking(move || {
            let to = match known {
                Some(target) => target,
                None => opened(&asking, &asking.config.backup.targets[target])?,
            };
            shipping.ship(&*to, &target_id).map(|()| to)
        });
        match shipped.await {
            Ok(Ok(to)) => {
                shipped_to(log, target, &interval);
                (open, retry) = (Some(to), RETRY.0);
            }
            Ok(Err(error)) => {
                log.ship_failed(target, error.to_string());
                tracing::warn!(%error, "the log of backups was not shipped; it is tried again");
                tokio::select! {
                    () = tokio::time::sleep(retry) => {}
                    () = hub.stopping.cancelled() => return,
                }
                retry = (retry * 2).min(RETRY.1);
            }
            Err(error) => {
                tracing::error!(%error, "shipping the log of backups panicked");
                return;
            }
        }
    }
}

fn opened(hub: &Hub, url: &str) -> ferry_backup::Result<Arc<dyn BackupTarget>> {
    let access = TargetAccess { stopping: hub.stopping.clone(), ..hub.config.backup.access.clone() };
    Ok(Arc::from(open_target(url, &access)?))
}

fn shipped_to(log: &HubLog, target: usize, interval: &SpooledInterval) {
    log.shipped_to(target, interval);
    metrics::counter!("ferry_backup_bytes_total").increment(interval.bytes());
}
