//! The hub's backups: its targets, what is known of them, and the jobs that work on them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_backup::{ListedSnapshot, SnapshotVerdict, empty_log_spool};
use ferry_control::DatabaseEntry;
use ferry_core::backup::{
    SnapshotId,
    log::RestorableRange,
    manifest::{Manifest, Scope},
};
use ferry_database::ChangedDatabases;
use ferry_types::{DatabaseId, Error, Reason, Result, RunId, UnixMillis, UserId};

use super::{
    anchor::{HeldAnchor, StartAnchors, taken_message},
    due::{LATE_MS, next_due},
    failure::JobFailure,
    jobs::{BackupJob, JobInfo, JobKind, Jobs},
    kept_state::KeptState,
    log::{HubLog, LagState},
};
use crate::{clock, config::BackupConfig, hub::Hub};

/// A target, as this hub knows it.
pub(super) struct KnownTarget {
    url: String,
    /// Whether it is this run's.
    pub(super) anchor: HeldAnchor,
    state: Mutex<TargetState>,
}

#[derive(Clone, Default)]
struct TargetState {
    /// The newest snapshot of the whole hub, in Unix milliseconds.
    last_ms: Option<i64>,
    /// Which one that is.
    last_id: Option<SnapshotId>,
    /// Why the last try failed.
    error: Option<String>,
    /// The newest snapshot of the whole hub, if it was found damaged.
    damaged: Option<SnapshotId>,
    /// How many databases it lacks as they are now, since they could not be read.
    unread: u64,
}

impl KnownTarget {
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn last_ms(&self) -> Option<i64> {
        self.lock().last_ms
    }

    /// Notes a snapshot of the whole hub that is there.
    pub(super) fn found(&self, manifest: &Manifest) {
        let mut state = self.lock();
        if state.last_ms.is_none_or(|last| last <= manifest.time_ms) {
            (state.last_ms, state.last_id) = (Some(manifest.time_ms), Some(manifest.id));
            state.unread = manifest.unread_count;
        }
    }

    pub(super) fn succeeded(&self, manifest: &Manifest) {
        self.lock().error = None;
        if manifest.scope == Scope::Hub {
            // What was damaged is stored anew.
            self.lock().damaged = None;
            self.found(manifest);
        }
    }

    /// Notes what verifying `id` found, which counts if it is the newest.
    pub(super) fn verified(&self, manifest_ms: i64, id: SnapshotId, is_whole: bool) {
        let mut state = self.lock();
        if state.last_ms.is_none_or(|last| last <= manifest_ms) {
            state.damaged = (!is_whole).then_some(id);
        }
    }

    /// The newest snapshot has a manifest that is damaged.
    pub(super) fn found_damaged(&self, id: SnapshotId) {
        self.lock().damaged = Some(id);
    }

    /// Notes what verdicts say of the newest, whoever has verified it.
    pub(super) fn judged(&self, verdicts: &BTreeMap<SnapshotId, SnapshotVerdict>) {
        let mut state = self.lock();
        if let Some((id, verdict)) = state.last_id.and_then(|id| Some((id, verdicts.get(&id)?)))
            && (!verdict.is_whole || state.damaged == Some(id))
        {
            state.damaged = (!verdict.is_whole).then_some(id);
        }
    }

    /// It does what it is asked.
    pub(super) fn reached(&self) {
        self.lock().error = None;
    }

    pub(super) fn failed(&self, error: &str) {
        self.lock().error = Some(error.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, TargetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn partial_message(unread: u64) -> String {
    let databases = if unread == 1 { "database".to_owned() } else { format!("{unread} databases") };
    format!(
        "the newest backup has the {databases} that could not be read as an earlier one does, or not at all: the hub's log, and \
         `ferry backup create`, name what is unreadable; once it is mended, a new backup has all"
    )
}

/// How a target is.
#[derive(Clone, Debug)]
pub(crate) struct TargetStatus {
    pub(crate) url: String,
    /// `ok`, `late`, `gap`, `damaged`, `partial`, `unreachable`, `taken` or `paused`.
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
    /// How it is, as [`ListedSnapshot::state`] says.
    pub(crate) state: &'static str,
}

/// Backups of a hub.
pub(crate) struct Backups {
    hub: Arc<Hub>,
    folder: PathBuf,
    targets: Vec<KnownTarget>,
    jobs: Jobs,
    /// What is shipped between snapshots, if anything is.
    log: Option<Arc<HubLog>>,
    /// What the start found at the targets.
    start: StartAnchors,
    /// What outlives the hub.
    kept: Mutex<KeptState>,
    /// Held by whoever changes it.
    kept_turn: Mutex<()>,
    /// Held while an anchor is looked at and written.
    anchor_turn: Mutex<()>,
    /// Held by whoever looks at verdicts.
    pub(super) verdict_turn: Mutex<()>,
}

impl Backups {
    /// Those of `hub`, whose start found `start` at its targets.
    pub(crate) fn new(hub: &Arc<Hub>, start: StartAnchors) -> Self {
        let kept = KeptState::read(&hub.config.process.data_dir);
        let target = |url: &String| KnownTarget {
            url: url.clone(),
            anchor: HeldAnchor::begin(kept.taken.get(url).cloned(), start.is_broken),
            state: Mutex::default(),
        };
        let backups = Self {
            hub: Arc::clone(hub),
            folder: hub.config.process.data_dir.join("backup"),
            targets: hub.config.backup.targets.iter().map(target).collect(),
            jobs: Jobs::default(),
            log: begin_log(hub),
            start,
            kept: Mutex::new(kept),
            kept_turn: Mutex::default(),
            anchor_turn: Mutex::default(),
            verdict_turn: Mutex::default(),
        };
        backups.hold_back_log();
        for target in &backups.targets {
            if let Some(taken) = target.anchor.taken() {
                tracing::error!("{}", taken_message(&target.url, &taken));
            }
        }
        backups
    }

    pub(super) const fn start_anchors(&self) -> &StartAnchors {
        &self.start
    }

    pub(super) fn anchor_turn(&self) -> MutexGuard<'_, ()> {
        self.anchor_turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, KeptState> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what outlives the hub.
    ///
    /// # Errors
    /// When it cannot be written down: then nothing is changed.
    pub(super) fn keep(&self, change: impl FnOnce(&mut KeptState)) -> Result<()> {
        // Who only asks does not wait for the disk.
        let _turn = self.kept_turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = self.kept().clone();
        change(&mut new);
        new.write(&self.hub.config.process.data_dir).map_err(|error| {
            tracing::error!(%error, "whether backups are paused, or their targets taken, cannot be written down");
            Error::new(Reason::Unavailable, format!("backup/schedule.json in the data directory cannot be written: {error}"))
        })?;
        *self.kept() = new;
        Ok(())
    }

    /// Whether nothing is done by schedule.
    pub(super) fn is_paused(&self) -> bool {
        self.kept().paused_unix.is_some()
    }

    /// Has the log brought to those targets alone that may be written.
    pub(super) fn hold_back_log(&self) {
        let Some(log) = &self.log else { return };
        let is_paused = self.is_paused();
        for (index, target) in self.targets.iter().enumerate() {
            log.hold_back(index, is_paused || target.anchor.taken().is_some());
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

    /// # Errors
    /// When no target is set.
    pub(super) fn needs_target(&self) -> Result<()> {
        if self.targets.is_empty() {
            let message =
                "no backup target is set: start the hub with --backup-target file:///a/folder/for/backups";
            return Err(Error::new(Reason::FailedPrecondition, message));
        }
        Ok(())
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
        self.begin_of(None, kind, work)
    }

    /// The same for a user.
    ///
    /// # Errors
    /// As of [`Self::begin`].
    pub(super) fn begin_of(
        self: &Arc<Self>,
        owner: Option<UserId>,
        kind: JobKind,
        work: impl FnOnce(&Self, &ferry_backup::JobProgress) -> super::jobs::JobResult + Send + 'static,
    ) -> Result<Arc<BackupJob>> {
        self.needs_target()?;
        let backups = Arc::clone(self);
        self.jobs.begin(&self.hub, (owner, kind), move |progress| {
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

    /// The snapshots on all targets that may have this database: of it alone, and of the whole hub since it was made.
    ///
    /// # Errors
    /// When no target can be read.
    pub(crate) async fn list_with(self: &Arc<Self>, entry: &DatabaseEntry) -> Result<BackupList> {
        let mut listed = self.list(None).await?;
        listed.snapshots.retain(|info| {
            info.snapshot.manifest.as_ref().is_ok_and(|manifest| match manifest.scope {
                Scope::Hub => manifest.time_ms >= entry.created.0,
                Scope::Database(id) => id == entry.id,
            })
        });
        listed.ranges.retain(|range| range.to_ms >= entry.created.0);
        Ok(listed)
    }

    fn list_all(&self) -> Result<BackupList, JobFailure> {
        let (mut all, mut ranges) = (Vec::new(), Vec::new());
        for target in &self.targets {
            let repository = self.repository(target)?;
            let verdicts = repository.verdicts()?;
            let (snapshots, history) = (repository.snapshots()?, repository.history()?);
            ranges.extend(repository.ranges(&snapshots)?);
            for snapshot in snapshots {
                let verdict = verdicts.get(&snapshot.id).copied();
                let state = snapshot.state(verdict, &history);
                all.push(BackupSummary { target: target.url.clone(), snapshot, verdict, state });
            }
        }
        Ok(BackupList { snapshots: all, ranges: RestorableRange::joined(ranges) })
    }

    /// How each target is.
    pub(crate) fn status(&self) -> Vec<TargetStatus> {
        let (config, now) = (&self.hub.config.backup, self.hub.clock.now());
        let paused = self.kept().paused_unix.map(paused_message);
        let status = |(index, target): (usize, &KnownTarget)| {
            let TargetState { last_ms, error, damaged, unread, .. } = target.lock().clone();
            let taken = target.anchor.taken().map(|taken| taken_message(&target.url, &taken));
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
                _ if taken.is_some() => "taken",
                _ if paused.is_some() => "paused",
                _ if has_gap => "gap",
                Some(_) => "unreachable",
                None if damaged.is_some() => "damaged",
                None if is_late => "late",
                None if unread > 0 => "partial",
                None => "ok",
            };
            TargetStatus {
                url: target.url.clone(),
                state,
                last: last_ms.map(UnixMillis),
                next: next.map(|next| UnixMillis(next.max(now.0))),
                error: taken
                    .or_else(|| paused.clone())
                    .or(error)
                    .or_else(|| damaged.map(advice))
                    .or_else(|| (unread > 0).then(|| partial_message(unread)))
                    .unwrap_or_default(),
                lag_ms: lag.as_ref().map(|lag| lag.lag_ms),
                spool_bytes: lag.map_or(0, |lag| lag.spool_bytes),
            }
        };
        self.targets.iter().enumerate().map(status).collect()
    }

    /// The worst state of a target, in a word; `None`: no target is set.
    pub(crate) fn health(&self) -> Option<&'static str> {
        let states: Vec<&str> = self.status().iter().map(|target| target.state).collect();
        let worst = ["taken", "gap", "unreachable", "damaged", "paused", "late", "partial", "ok"];
        let worst = worst.into_iter().find(|state| states.contains(state));
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
    // By its run it is known whose it is, if another hub ships there as this one.
    let run = match &hub.lineage {
        Some(lineage) => lineage.run(),
        None => RunId(clock::new_id().as_u64_pair().1),
    };
    let spool = hub.config.process.data_dir.join("backup").join("log");
    if let Err(error) = empty_log_spool(&spool) {
        tracing::warn!(%error, "what an earlier run left of the log of backups takes room");
    }
    let changed = Arc::new(ChangedDatabases::default());
    hub.databases.note_changes(Arc::clone(&changed));
    Some(Arc::new(HubLog::new(settings, run, spool, config.targets.len(), changed)))
}

fn paused_message(since: i64) -> String {
    let since = UnixMillis(since.saturating_mul(1000));
    format!("paused since {since}: nothing is backed up by itself until `ferry backup schedule resume`")
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
