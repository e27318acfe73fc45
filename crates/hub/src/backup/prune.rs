//! Removing what is no longer kept, on every target (OPR-09).

use std::sync::Arc;

use ferry_backup::{JobProgress, prune};
use ferry_types::Result;
use serde_json::json;

use super::{
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
        self.begin(JobKind::Prune, move |backups, progress| backups.prune_all(dry_run, progress))
    }

    fn prune_all(&self, dry_run: bool, progress: &JobProgress) -> JobResult {
        let (keep, log_days) = (self.hub().config.backup.keep, self.hub().config.backup.log_days);
        let now = self.hub().clock.now().as_secs();
        let mut pruned = Vec::new();
        for target in self.targets() {
            let report = prune(&mut self.repository(target)?, (&keep, log_days), (now, dry_run), progress)?;
            let removed: Vec<String> = report.removed.iter().map(ToString::to_string).collect();
            pruned.push(json!({
                "target": target.url(), "removed": removed, "freed_bytes": report.freed_bytes, "dry_run": dry_run,
            }));
        }
        Ok(json!({ "pruned": pruned }))
    }
}
