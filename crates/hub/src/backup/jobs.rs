//! Work that outlives whoever asked for it. One of each kind at a time; those of other kinds wait for each other, since all
//! work on the same targets.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_backup::JobProgress;
use ferry_types::{Error, Reason, Result, UserId};
use serde_json::{Value, json};

use super::failure::JobFailure;
use crate::{clock, hub::Hub};

/// How far a job steps back (setpriority(2)): where time is short it has a tenth of what another thread has. All the way back
/// it would be a sixtieth, and a backup beside processes that compute took minutes.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// Jobs that are remembered.
const KEPT: usize = 100;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobKind {
    Create,
    Merge,
    Verify,
    Prune,
    Restore,
}

impl JobKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Merge => "merge",
            Self::Verify => "verify",
            Self::Prune => "prune",
            Self::Restore => "restore",
        }
    }
}

/// A job as it is now.
#[derive(Clone, Debug)]
pub(crate) struct JobInfo {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    /// `running`, `done`, `failed` or `cancelled`.
    pub(crate) state: &'static str,
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) error: String,
    /// Of one that ended.
    pub(crate) result: Option<Value>,
    /// The user whose it is; `None`: the operator's.
    pub(crate) owner: Option<UserId>,
}

/// How a job ended.
pub(super) type JobResult = Result<Value, JobFailure>;

/// A job that was begun.
pub(super) struct BackupJob {
    id: String,
    kind: JobKind,
    owner: Option<UserId>,
    pub(super) progress: JobProgress,
    ended: Mutex<Option<JobResult>>,
    has_ended: tokio_util::sync::CancellationToken,
}

impl BackupJob {
    pub(super) fn info(&self) -> JobInfo {
        let (done, total) = self.progress.counts();
        let ended = lock(&self.ended);
        let (state, error, result) = match &*ended {
            None => ("running", String::new(), None),
            Some(Ok(result)) => ("done", String::new(), Some(result.clone())),
            Some(Err(failure)) => {
                let state = if failure.is_cancelled() { "cancelled" } else { "failed" };
                (state, failure.message.clone(), Some(json!({ "reason": failure.reason })))
            }
        };
        let (id, kind, owner) = (self.id.clone(), self.kind.as_str(), self.owner);
        JobInfo { id, kind, state, done, total, error, result, owner }
    }

    /// Waits for its end. True if it did what it should.
    pub(super) async fn ended(&self) -> bool {
        self.has_ended.cancelled().await;
        matches!(&*lock(&self.ended), Some(Ok(_)))
    }
}

/// The jobs of a hub.
#[derive(Default)]
pub(super) struct Jobs {
    all: Mutex<VecDeque<Arc<BackupJob>>>,
    /// Held by the one that works.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Jobs {
    /// Begins a job of `owner`, whose `work` may block.
    ///
    /// # Errors
    /// `BUSY` while another one of its kind is running.
    pub(super) fn begin(
        &self,
        hub: &Arc<Hub>,
        (owner, kind): (Option<UserId>, JobKind),
        work: impl FnOnce(&JobProgress) -> JobResult + Send + 'static,
    ) -> Result<Arc<BackupJob>> {
        let job = {
            let mut all = lock(&self.all);
            if let Some(running) = all.iter().find(|job| job.kind == kind && lock(&job.ended).is_none()) {
                let message =
                    format!("the job {} does that already: ask for it, or try again later", running.id);
                return Err(Error::new(Reason::Busy, message).retry_after_ms(10_000));
            }
            let job = Arc::new(BackupJob {
                id: format!("job_{}", clock::new_id().as_simple()),
                kind,
                owner,
                progress: JobProgress::default(),
                ended: Mutex::default(),
                has_ended: tokio_util::sync::CancellationToken::new(),
            });
            if all.len() >= KEPT {
                // Merges come by themselves, and nobody asks for their results: they go first.
                let is_done = |job: &Arc<BackupJob>| job.kind == JobKind::Merge && lock(&job.ended).is_some();
                let first = all.iter().position(is_done).unwrap_or(0);
                all.remove(first);
            }
            all.push_back(Arc::clone(&job));
            job
        };
        let (turn, stopping, begun) = (Arc::clone(&self.turn), hub.stopping.clone(), Arc::clone(&job));
        hub.tasks.spawn(async move {
            let _turn = turn.lock_owned().await;
            let working = Arc::clone(&begun);
            let (done, mut ended) = tokio::sync::oneshot::channel();
            // A thread of its own, which gives way to those that answer requests: its priority could not be raised again.
            let runtime = tokio::runtime::Handle::current();
            let thread = std::thread::Builder::new().name("ferry-backup".into()).spawn(move || {
                let _runtime = runtime.enter();
                give_way();
                let result =
                    working.progress.check().map_err(JobFailure::from).and_then(|()| work(&working.progress));
                let _ = done.send(result);
            });
            if let Err(error) = thread {
                begun.end(Err(JobFailure::new("INTERNAL", format!("no thread could be started: {error}"))));
                return;
            }
            let ended = tokio::select! {
                ended = &mut ended => ended,
                () = stopping.cancelled() => {
                    begun.progress.cancel();
                    ended.await
                }
            };
            begun.end(
                ended.unwrap_or_else(|_| Err(JobFailure::new("INTERNAL", "it panicked: see the hub's log"))),
            );
        });
        Ok(job)
    }

    /// The job with this id.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub(super) fn get(&self, id: &str) -> Result<Arc<BackupJob>> {
        let missing = || {
            Error::new(
                Reason::NotFound,
                "job not found: the hub was started anew since, or has had many others",
            )
        };
        lock(&self.all).iter().find(|job| job.id == id).cloned().ok_or_else(missing)
    }
}

impl BackupJob {
    fn end(&self, ended: JobResult) {
        let kind = self.kind.as_str();
        match &ended {
            Ok(result) if self.kind == JobKind::Merge => {
                tracing::debug!(job = self.id, kind, %result, "the log of backups was looked through");
            }
            Ok(result) => tracing::info!(job = self.id, kind, %result, "a backup job is done"),
            Err(failure) if failure.is_cancelled() => {
                tracing::warn!(job = self.id, kind, "a backup job was cancelled");
            }
            Err(failure) => {
                metrics::counter!("ferry_backup_errors_total", "reason" => failure.reason).increment(1);
                tracing::error!(job = self.id, kind, error = failure.message, "a backup job failed");
            }
        }
        *lock(&self.ended) = Some(ended);
        self.has_ended.cancel();
    }
}

/// Lets other threads go first where there is not enough time for all.
fn give_way() {
    // Where that is not of a thread, it is left as it is.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "a backup job has the priority of all others");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
