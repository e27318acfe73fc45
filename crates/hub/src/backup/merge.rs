//! What was shipped is merged as it gets older, on every target (OPR-09).

use std::{sync::Arc, time::Duration};

use ferry_backup::{JobProgress, merge_log};
use tokio::{runtime::Handle, time::MissedTickBehavior};

use super::{
    failure::JobFailure,
    jobs::{JobKind, JobResult},
    service::Backups,
};

/// How often it is looked whether something is old enough.
const EVERY: Duration = Duration::from_secs(300);

/// Merges as long as the hub runs.
pub(super) async fn follow_merges(backups: Arc<Backups>) {
    let mut due = tokio::time::interval(EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = backups.hub().stopping.cancelled() => return,
        }
        // As long as there is more, others may have their turn in between.
        let runtime = Handle::current();
        let merge = move |backups: &Backups, progress: &JobProgress| backups.merge_all(&runtime, progress);
        while !backups.is_paused()
            && let Ok(job) = backups.begin(JobKind::Merge, merge.clone())
        {
            let has_more = |result: serde_json::Value| result["has_more"] == true;
            if !job.ended().await || !job.info().result.is_some_and(has_more) {
                break;
            }
        }
    }
}

impl Backups {
    /// Merges what is old enough. A target that cannot be reached keeps none of the others from it.
    pub(super) fn merge_all(&self, runtime: &Handle, progress: &JobProgress) -> JobResult {
        let (mut has_more, mut merged, mut failed) = (false, Vec::new(), None);
        // A target that has no backup of this hub yet is begun by none of this.
        for (index, target) in
            self.targets().iter().enumerate().filter(|(_, target)| target.last_ms().is_some())
        {
            let now = self.hub().clock.now();
            let merge = |()| {
                let repository = self.repository(target)?;
                Ok(merge_log(&repository, (now.0, &self.folder().join("scratch")), progress)?)
            };
            let done = self.hold(runtime, (index, target), false).and_then(merge);
            match done {
                Ok(report) => {
                    for what in &report.damaged {
                        tracing::warn!(
                            backup_target = target.url(),
                            what,
                            "a part of the log of backups is damaged, and is not merged: `ferry backup verify` tells what restores"
                        );
                    }
                    has_more |= report.has_more;
                    merged.push(serde_json::json!({
                        "target": target.url(), "merges": report.merges, "removed": report.removed,
                    }));
                }
                // It is another hub's now, and told as such.
                Err(failure) if failure.reason == "TARGET_TAKEN" => {}
                Err(failure) => {
                    let message = format!("{}: {}", target.url(), failure.message);
                    failed.get_or_insert(JobFailure { message, ..failure });
                }
            }
        }
        failed.map_or_else(|| Ok(serde_json::json!({ "merged": merged, "has_more": has_more })), Err)
    }
}
