//! Whether a snapshot restores, asked of every target that has it (OPR-10).

use std::{sync::Arc, time::Duration};

use ferry_backup::{JobProgress, NewestSnapshot, Repository, TargetAccess, VerifyMode, open_target, verify};
use ferry_core::backup::SnapshotId;
use ferry_types::{Error, Reason, Result};
use serde_json::json;

use super::{
    failure::JobFailure,
    jobs::{BackupJob, JobInfo, JobKind, JobResult},
    service::{self, Backups, KnownTarget},
};

/// For so long whoever asks how targets are waits for them.
const VERDICTS_WAIT: Duration = Duration::from_secs(2);

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedVerify {
    /// `None`: the newest of the whole hub.
    id: Option<SnapshotId>,
    mode: VerifyMode,
}

impl WantedVerify {
    /// All of the newest snapshot.
    pub(super) const NEWEST: Self = Self { id: None, mode: VerifyMode::Full };

    /// As a request says it: both texts may be empty.
    ///
    /// # Errors
    /// When one means nothing.
    pub(crate) fn new(id: &str, mode: &str, sample: u32) -> Result<Self> {
        let invalid = |message: String| Error::new(Reason::InvalidArgument, message);
        let id = match id {
            "" => None,
            id => Some(id.parse::<SnapshotId>().map_err(|error| invalid(format!("id: {error}")))?),
        };
        let mode = match (mode, u8::try_from(sample)) {
            ("" | "full", _) => VerifyMode::Full,
            ("quick", _) => VerifyMode::Quick,
            ("sample", Ok(percent @ 1..=100)) => VerifyMode::Sample(percent, service::random()?.into()),
            ("sample", _) => return Err(invalid("sample: expected percent from 1 to 100".to_owned())),
            _ => return Err(invalid("mode: expected full, quick or sample".to_owned())),
        };
        Ok(Self { id, mode })
    }
}

impl Backups {
    /// Begins to verify.
    ///
    /// # Errors
    /// When no target is set, or that is being done.
    pub(crate) fn verify(self: &Arc<Self>, wanted: WantedVerify) -> Result<JobInfo> {
        Ok(self.begin_verify(wanted)?.info())
    }

    pub(super) fn begin_verify(self: &Arc<Self>, wanted: WantedVerify) -> Result<Arc<BackupJob>> {
        self.begin(JobKind::Verify, move |backups, progress| backups.verify_all(wanted, progress))
    }

    fn verify_all(&self, wanted: WantedVerify, progress: &JobProgress) -> JobResult {
        let (mut verified, mut damaged) = (Vec::new(), Vec::new());
        for target in self.targets() {
            self.verify_on(target, wanted, progress, (&mut verified, &mut damaged))?;
        }
        if damaged.is_empty() {
            return Ok(json!({ "databases": verified }));
        }
        Err(JobFailure::new("DAMAGED", damaged.join("\n")))
    }

    fn verify_on(
        &self,
        target: &KnownTarget,
        wanted: WantedVerify,
        progress: &JobProgress,
        (verified, damaged): (&mut Vec<serde_json::Value>, &mut Vec<String>),
    ) -> Result<(), JobFailure> {
        let repository = self.repository(target)?;
        let id = match wanted.id {
            Some(id) => id,
            None => {
                let newest = repository.newest_hub()?;
                note_newest(target, &repository, &newest)?;
                let meant = newest.meant().map_err(|error| {
                    let JobFailure { reason, message } = error.into();
                    JobFailure::new(reason, format!("{}: {message}", target.url()))
                })?;
                let none = || {
                    JobFailure::new(
                        "NOT_FOUND",
                        format!(
                            "{} has no backup of the hub yet: `ferry backup create` takes one",
                            target.url()
                        ),
                    )
                };
                meant.ok_or_else(none)?.id
            }
        };
        let scratch = self.folder().join("scratch");
        let now = self.hub().clock.now().as_secs();
        let done =
            verify(&repository, id, (wanted.mode, &scratch), now, progress, |found| match found.found {
                Ok(root) => {
                    verified
                        .push(json!({ "id": found.id.to_string(), "root": root, "target": target.url() }));
                }
                Err(error) => damaged.push(format!("{}: database {}: {error}", target.url(), found.id)),
            });
        self.look_at(target)?;
        Ok(done.map(drop)?)
    }

    /// Finds the newest snapshot of a target, and what is known of it.
    pub(super) fn look_at(&self, target: &KnownTarget) -> Result<(), JobFailure> {
        let repository = self.repository(target)?;
        note_newest(target, &repository, &repository.newest_hub()?)
    }

    /// Learns what others have found who verified at the targets, without this hub. What a target that is away says is learnt later.
    pub(crate) async fn look_at_verdicts(self: &Arc<Self>) {
        let backups = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || {
            // Somebody who waits for a target looks for all.
            let Ok(_turn) = backups.verdict_turn.try_lock() else { return };
            let access = TargetAccess {
                stopping: backups.hub().stopping.clone(),
                ..backups.hub().config.backup.access.clone()
            };
            for target in backups.targets() {
                let verdicts =
                    open_target(target.url(), &access).and_then(|opened| ferry_backup::verdicts(&*opened));
                match verdicts {
                    Ok(verdicts) => target.judged(&verdicts),
                    Err(error) => {
                        tracing::debug!(backup_target = target.url(), %error, "what verifying found there is not known");
                    }
                }
            }
        });
        // What it finds later counts, too.
        let _ = tokio::time::timeout(VERDICTS_WAIT, looked).await;
    }

    /// When a snapshot was last found whole on any target, in Unix seconds.
    pub(super) fn last_verified(&self) -> Result<Option<i64>, JobFailure> {
        let mut last = None;
        for target in self.targets() {
            let verdicts = self.repository(target)?.verdicts()?;
            let whole = verdicts.into_values().filter(|verdict| verdict.is_whole);
            last = last.max(whole.map(|verdict| verdict.at).max());
        }
        Ok(last)
    }
}

/// Notes the newest snapshot of a target, and what is known of it.
fn note_newest(
    target: &KnownTarget,
    repository: &Repository,
    newest: &NewestSnapshot,
) -> Result<(), JobFailure> {
    if let Some(whole) = &newest.whole {
        target.found(whole);
        if let Some(verdict) = repository.verdicts()?.get(&whole.id) {
            target.verified(whole.time_ms, whole.id, verdict.is_whole);
        }
    }
    if let Some(damaged) = &newest.damaged {
        target.found_damaged(damaged.id);
    }
    Ok(())
}
