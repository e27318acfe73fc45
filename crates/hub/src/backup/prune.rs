//! Removing what is no longer kept, on every target (OPR-09).

use std::sync::Arc;

use ferry_backup::{JobProgress, prune};
use ferry_types::Result;
use serde_json::json;
use tokio::runtime::Handle;

use super::{
    failure::JobFailure,
    jobs::{BackupJob, JobInfo, JobKind, JobResult},
    service::Backups,
};

impl Backups {
    /// Begins to remove it; with `dry_run` it is only told.
    ///
    /// # Errors
    /// When no target is set, or that is being done.
    pub(crate) fn prune(self: &Arc<Self>, dry_run: bool) -> Result<JobInfo> {
        Ok(self.begin_prune(dry_run)?.info())
    }

    pub(super) fn begin_prune(self: &Arc<Self>, dry_run: bool) -> Result<Arc<BackupJob>> {
        let runtime = Handle::current();
        self.begin(JobKind::Prune, move |backups, progress| backups.prune_all(&runtime, dry_run, progress))
    }

    fn prune_all(&self, runtime: &Handle, dry_run: bool, progress: &JobProgress) -> JobResult {
        // A target that fails keeps none of the others from it.
        let mut failed = None;
        if !dry_run && self.log().is_some() {
            failed = self.merge_all(runtime, progress).err();
        }
        let (keep, log_days) = (self.hub().config.backup.keep, self.hub().config.backup.log_days);
        let now = self.hub().clock.now().as_secs();
        let mut pruned = Vec::new();
        for (index, target) in self.targets().iter().enumerate() {
            progress.check()?;
            let held = if dry_run { Ok(()) } else { self.hold(runtime, (index, target), false) };
            let done = held.and_then(|()| {
                Ok(prune(&mut self.repository(target)?, (&keep, log_days), (now, dry_run), progress)?)
            });
            let report = match done {
                Ok(report) => report,
                Err(failure) => {
                    let message = format!("{}: {}", target.url(), failure.message);
                    failed.get_or_insert(JobFailure { message, ..failure });
                    continue;
                }
            };
            let removed: Vec<String> = report.removed.iter().map(ToString::to_string).collect();
            pruned.push(json!({
                "target": target.url(), "removed": removed, "freed_bytes": report.freed_bytes, "dry_run": dry_run,
            }));
        }
        failed.map_or_else(|| Ok(json!({ "pruned": pruned })), Err)
    }
}
