//! The newest backup, and those behind it that do not restore: nobody is given an older state in silence (OPR-10, OPR-20).

use ferry_core::backup::{
    SnapshotId,
    log::LogPlan,
    manifest::{Manifest, Scope},
};
use ferry_types::UnixMillis;

use crate::{Error, ListedSnapshot, Repository, Result, history::is_of, target_identity::manifest_path};

/// A snapshot that does not restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedSnapshot {
    /// Which one.
    pub id: SnapshotId,
    /// What is wrong with it.
    pub what: String,
    /// Nothing in it is newer, in Unix milliseconds.
    pub until_ms: i64,
}

/// The newest snapshot of a whole hub.
#[derive(Debug, Default)]
pub struct NewestSnapshot {
    /// The newest whose manifest is whole.
    pub whole: Option<Manifest>,
    /// The newest of those behind it whose manifest is damaged: of what they are nobody knows.
    pub damaged: Option<DamagedSnapshot>,
}

/// What is read to restore a hub.
#[derive(Debug)]
pub struct HubPlan {
    /// From what, and how far.
    pub plan: LogPlan<SnapshotId>,
    /// A snapshot that shows more than is reached, and does not restore.
    pub lacking: Option<DamagedSnapshot>,
}

impl DamagedSnapshot {
    /// One whose manifest is damaged.
    pub(crate) fn of(listed: &ListedSnapshot, error: &Error) -> Self {
        let what = match error {
            Error::Damaged { what, .. } => what.clone(),
            error => error.to_string(),
        };
        // Its manifest is written last.
        Self { id: listed.id, what, until_ms: listed.made.max(listed.id.seconds()).saturating_mul(1000) }
    }

    /// The error for whoever asks for the newest; `instead` says what can be done.
    pub(crate) fn refusal(&self, instead: &str) -> Error {
        Error::damaged(manifest_path(self.id), format!("{}; {instead}", self.what))
    }
}

impl NewestSnapshot {
    /// The one that is meant by whoever names none; `None`: there is none.
    ///
    /// # Errors
    /// When a newer one is damaged.
    pub fn meant(self) -> Result<Option<Manifest>> {
        let Some(damaged) = self.damaged else { return Ok(self.whole) };
        let instead = match self.whole {
            Some(whole) => format!(
                "the newest backup of a hub whose manifest is whole is {0}: name that one to take it",
                whole.id
            ),
            None => "no backup of a hub there has a whole manifest".to_owned(),
        };
        Err(damaged.refusal(&instead))
    }
}

impl HubPlan {
    /// The plan, if nothing that lies there shows more.
    ///
    /// # Errors
    /// When a newer snapshot does not restore.
    pub fn furthest(self) -> Result<LogPlan<SnapshotId>> {
        let Some(damaged) = &self.lacking else { return Ok(self.plan) };
        Err(damaged.refusal(&self.instead()))
    }

    /// What can be restored in place of a newer snapshot, in words.
    #[must_use]
    pub fn instead(&self) -> String {
        let LogPlan { base, intervals } = &self.plan;
        let reached = UnixMillis(self.plan.reached_ms());
        let at = if intervals.is_empty() { String::new() } else { format!(" --at {reached}") };
        format!("what restores without it is of {reached}: to take that, name it: {}{at}", base.name)
    }
}

impl Repository {
    /// The newest snapshot of the whole hub whose target it is, and what stands behind it.
    ///
    /// # Errors
    /// When they cannot be listed or read.
    pub fn newest_hub(&self) -> Result<NewestSnapshot> {
        let (mut newest, history) = (NewestSnapshot::default(), self.history()?);
        for listed in self.snapshots()? {
            match &listed.manifest {
                Ok(manifest) if manifest.scope != Scope::Hub || !is_of(&history, manifest) => {}
                Ok(_) => {
                    newest.whole = listed.manifest.ok();
                    break;
                }
                Err(error) if newest.damaged.is_none() => {
                    newest.damaged = Some(DamagedSnapshot::of(&listed, error));
                }
                Err(_) => {}
            }
        }
        Ok(newest)
    }
}
