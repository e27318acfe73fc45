//! Whether a snapshot restores, asked of every target that has it (OPR-10).

use std::sync::Arc;

use ferry_backup::{JobProgress, VerifyMode, verify};
use ferry_core::backup::{SnapshotId, manifest::Scope};
use ferry_types::{Error, Reason, Result};
use serde_json::json;

use super::{
    failure::JobFailure,
    jobs::{BackupJob, JobInfo, JobKind, JobResult},
    service::{self, Backups, KnownTarget},
};

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
                let newest = repository.newest(Scope::Hub)?;
                let none = || {
                    JobFailure::new("NOT_FOUND", format!("{} has no snapshot of the hub yet", target.url()))
                };
                newest.ok_or_else(none)?.id
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
        let Some(newest) = repository.newest(Scope::Hub)? else { return Ok(()) };
        target.found(Some(newest.time_ms));
        if let Some(verdict) = repository.verdicts()?.get(&newest.id) {
            target.verified(newest.time_ms, newest.id, verdict.is_whole);
        }
        Ok(())
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
