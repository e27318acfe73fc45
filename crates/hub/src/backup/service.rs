//! The hub's backups: its targets, what is known of them, and the jobs that work on them.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_backup::{ListedSnapshot, SnapshotVerdict, empty_log_spool};
use ferry_core::backup::{
    SnapshotId,
    log::{RestorableRange, RunId},
    manifest::{Manifest, Scope},
};
use ferry_database::ChangedDatabases;
use ferry_types::{DatabaseId, Error, Reason, Result, UnixMillis};

use super::{
    due::{LATE_MS, next_due},
    failure::JobFailure,
    jobs::{BackupJob, JobInfo, JobKind, Jobs},
    log::{HubLog, LagState},
};
use crate::{clock, config::BackupConfig, hub::Hub};

/// A target, as this hub knows it.
pub(super) struct KnownTarget {
    url: String,
    state: Mutex<TargetState>,
}

#[derive(Clone, Default)]
struct TargetState {
    /// The newest snapshot of the whole hub, in Unix milliseconds.
    last_ms: Option<i64>,
    /// Why the last try failed.
    error: Option<String>,
    /// The newest snapshot of the whole hub, if it was found damaged.
    damaged: Option<SnapshotId>,
}

impl KnownTarget {
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn last_ms(&self) -> Option<i64> {
        self.lock().last_ms
    }

    pub(super) fn found(&self, last_ms: Option<i64>) {
        let mut state = self.lock();
        state.last_ms = state.last_ms.max(last_ms);
    }

    pub(super) fn succeeded(&self, manifest: &Manifest) {
        self.lock().error = None;
        if manifest.scope == Scope::Hub {
            // What was damaged is stored anew.
            self.lock().damaged = None;
            self.found(Some(manifest.time_ms));
        }
    }

    /// Notes what verifying `id` found, which counts if it is the newest.
    pub(super) fn verified(&self, manifest_ms: i64, id: SnapshotId, is_whole: bool) {
        let mut state = self.lock();
        if state.last_ms.is_none_or(|last| last <= manifest_ms) {
            state.damaged = (!is_whole).then_some(id);
        }
    }

    pub(super) fn failed(&self, error: &str) {
        self.lock().error = Some(error.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, TargetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a target is.
#[derive(Clone, Debug)]
pub(crate) struct TargetStatus {
    pub(crate) url: String,
    /// `ok`, `late`, `gap`, `damaged` or `unreachable`.
    pub(crate) state: &'static str,
    pub(crate) last: Option<UnixMillis>,
    pub(crate) next: Option<UnixMillis>,
    pub(crate) error: String,
    /// Age of the oldest commit that the target lacks, if what changes is shipped, in milliseconds.
    pub(crate) lag_ms: Option<u64>,
    /// Bytes that wait for it.
    pub(crate) spool_bytes: u64,
}

/// Snapshots on the targets, and what can be restored.
#[derive(Debug)]
pub(crate) struct BackupList {
    pub(crate) snapshots: Vec<BackupSummary>,
    pub(crate) ranges: Vec<RestorableRange>,
}

/// A snapshot on a target.
#[derive(Debug)]
pub(crate) struct BackupSummary {
    pub(crate) target: String,
    pub(crate) snapshot: ListedSnapshot,
    pub(crate) verdict: Option<SnapshotVerdict>,
}

/// Backups of a hub.
pub(crate) struct Backups {
    hub: Arc<Hub>,
    folder: PathBuf,
    targets: Vec<KnownTarget>,
    jobs: Jobs,
    /// What is shipped between snapshots, if anything is.
    log: Option<Arc<HubLog>>,
}

impl Backups {
    /// Those of `hub`.
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        let target = |url: &String| KnownTarget { url: url.clone(), state: Mutex::default() };
        Self {
            hub: Arc::clone(hub),
            folder: hub.config.process.data_dir.join("backup"),
            targets: hub.config.backup.targets.iter().map(target).collect(),
            jobs: Jobs::default(),
            log: begin_log(hub),
        }
    }

    pub(super) const fn log(&self) -> Option<&Arc<HubLog>> {
        self.log.as_ref()
    }

    pub(super) const fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Where what is known of targets is kept, and packs wait.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn targets(&self) -> &[KnownTarget] {
        &self.targets
    }

    pub(super) fn new_target_id(&self) -> String {
        crate::clock::new_id().as_simple().to_string()
    }

    /// Begins a job on the targets.
    ///
    /// # Errors
    /// When none is set, or one of its kind is running.
    pub(super) fn begin(
        self: &Arc<Self>,
        kind: JobKind,
        work: impl FnOnce(&Self, &ferry_backup::JobProgress) -> super::jobs::JobResult + Send + 'static,
    ) -> Result<Arc<BackupJob>> {
        if self.targets.is_empty() {
            let message =
                "no backup target is set: start the hub with --backup-target file:///a/folder/for/backups";
            return Err(Error::new(Reason::FailedPrecondition, message));
        }
        let backups = Arc::clone(self);
        self.jobs.begin(&self.hub, kind, move |progress| {
            let ended = work(&backups, progress);
            if ended.is_ok() {
                let now = backups.hub.clock.now().as_secs();
                metrics::gauge!("ferry_backup_last_success_seconds", "kind" => kind.as_str()).set(now as f64);
            }
            ended
        })
    }

    /// A job as it is now.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub(crate) fn job(&self, id: &str) -> Result<JobInfo> {
        Ok(self.jobs.get(id)?.info())
    }

    /// Asks a job to end.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub(crate) fn cancel(&self, id: &str) -> Result<JobInfo> {
        let job = self.jobs.get(id)?;
        job.progress.cancel();
        Ok(job.info())
    }

    /// The snapshots on all targets, of one database alone if one is named; the newest of each target first.
    ///
    /// # Errors
    /// When there is no such database, or no target can be read.
    pub(crate) async fn list(self: &Arc<Self>, database: Option<&str>) -> Result<BackupList> {
        let scope = database.map(|name| self.database_named(name)).transpose()?.map(Scope::Database);
        let backups = Arc::clone(self);
        let listed = tokio::task::spawn_blocking(move || backups.list_all()).await;
        let mut listed = listed
            .map_err(|_| Error::internal())?
            .map_err(|failure: JobFailure| Error::new(Reason::FailedPrecondition, failure.message))?;
        // What a damaged one is of nobody knows.
        listed.snapshots.retain(|info| {
            scope.is_none_or(|scope| info.snapshot.manifest.as_ref().is_ok_and(|m| m.scope == scope))
        });
        Ok(listed)
    }

    fn list_all(&self) -> Result<BackupList, JobFailure> {
        let (mut all, mut ranges) = (Vec::new(), Vec::new());
        for target in &self.targets {
            let repository = self.repository(target)?;
            let verdicts = repository.verdicts()?;
            let snapshots = repository.snapshots()?;
            ranges.extend(repository.ranges(&snapshots)?);
            for snapshot in snapshots {
                let verdict = verdicts.get(&snapshot.id).copied();
                all.push(BackupSummary { target: target.url.clone(), snapshot, verdict });
            }
        }
        Ok(BackupList { snapshots: all, ranges: RestorableRange::joined(ranges) })
    }

    /// How each target is.
    pub(crate) fn status(&self) -> Vec<TargetStatus> {
        let (config, now) = (&self.hub.config.backup, self.hub.clock.now());
        let status = |(index, target): (usize, &KnownTarget)| {
            let TargetState { last_ms, error, damaged } = target.lock().clone();
            let lag = self.log.as_ref().map(|log| log.lag(index, now));
            let has_gap = lag.as_ref().is_some_and(|lag| lag.has_gap);
            let error = error.or_else(|| lag.as_ref().and_then(|lag| lag.error.clone()));
            let advice = |id| {
                format!(
                    "{id} is damaged: `ferry backup create` makes one that stores anew what is, `ferry backup verify` tells what is"
                )
            };
            let next = next_due(config, last_ms);
            // The first is due as soon as the hub runs.
            let due = next.map(|next| if last_ms.is_none() { self.hub.started.0 } else { next });
            let is_late = due.is_some_and(|due| now.0 > due + LATE_MS)
                || lag.as_ref().is_some_and(|lag| is_behind(config, lag));
            let state = match &error {
                _ if has_gap => "gap",
                Some(_) => "unreachable",
                None if damaged.is_some() => "damaged",
                None if is_late => "late",
                None => "ok",
            };
            TargetStatus {
                url: target.url.clone(),
                state,
                last: last_ms.map(UnixMillis),
                next: next.map(|next| UnixMillis(next.max(now.0))),
                error: error.or_else(|| damaged.map(advice)).unwrap_or_default(),
                lag_ms: lag.as_ref().map(|lag| lag.lag_ms),
                spool_bytes: lag.map_or(0, |lag| lag.spool_bytes),
            }
        };
        self.targets.iter().enumerate().map(status).collect()
    }

    /// The worst state of a target, in a word; `None`: no target is set.
    pub(crate) fn health(&self) -> Option<&'static str> {
        let states: Vec<&str> = self.status().iter().map(|target| target.state).collect();
        let worst =
            ["gap", "unreachable", "damaged", "late", "ok"].into_iter().find(|state| states.contains(state));
        worst.filter(|_| !states.is_empty())
    }

    /// Sets the gauges of targets, which are counted from 1 in the order of the setting: a path is no label.
    pub(crate) fn set_gauges(&self) {
        let now = self.hub.clock.now().0;
        for (number, target) in (1_u32..).zip(self.status()) {
            let label = number.to_string();
            let is_ok = f64::from(u8::from(target.state == "ok"));
            metrics::gauge!("ferry_backup_target_ok", "target" => label.clone()).set(is_ok);
            let since_last = target.last.map(|last| now.saturating_sub(last.0).max(0) as f64 / 1000.0);
            // Measured from commits, where they are shipped.
            if let Some(lag) = target.lag_ms.map(|lag_ms| lag_ms as f64 / 1000.0).or(since_last) {
                metrics::gauge!("ferry_backup_lag_seconds", "target" => label).set(lag);
            }
        }
    }

    /// The database of this id, or of this name if no other has it.
    pub(super) fn database_named(&self, name: &str) -> Result<DatabaseId> {
        self.hub.control.database_on_hub(name)
    }
}

/// Begins the log of a hub whose settings ask for one.
fn begin_log(hub: &Arc<Hub>) -> Option<Arc<HubLog>> {
    let config = &hub.config.backup;
    let settings = config.log.filter(|_| !config.targets.is_empty())?;
    let run = *clock::new_id().as_bytes().last_chunk().expect("BUG: an id has 16 bytes");
    let spool = hub.config.process.data_dir.join("backup").join("log");
    if let Err(error) = empty_log_spool(&spool) {
        tracing::warn!(%error, "what an earlier run left of the log of backups takes room");
    }
    let changed = Arc::new(ChangedDatabases::default());
    hub.databases.note_changes(Arc::clone(&changed));
    Some(Arc::new(HubLog::new(settings, RunId(run), spool, config.targets.len(), changed)))
}

/// Whether what changes is shipped later than it should be.
fn is_behind(config: &BackupConfig, lag: &LagState) -> bool {
    const SLACK_MS: i64 = 5_000;
    let most = config.log.map_or(i64::MAX, |log| log.lag_ms().saturating_mul(2).saturating_add(SLACK_MS));
    i64::try_from(lag.lag_ms).unwrap_or(i64::MAX) > most
}

pub(super) fn random() -> Result<u32> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the operating system gave no random bytes");
        Error::internal()
    })?;
    Ok(u32::from_le_bytes(bytes))
}
