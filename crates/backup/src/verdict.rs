//! What verifying a snapshot found. It stands on the target, so that whoever lists, prunes or restores there knows it: an
//! object `verified/<snapshot>.<Unix seconds>.<whole|damaged>`, which holds what is wrong.

use std::collections::BTreeMap;

use ferry_core::backup::SnapshotId;

use crate::{Repository, Result};

const VERIFIED: &str = "verified";

/// What was found when a snapshot was last verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotVerdict {
    /// When, in Unix seconds.
    pub at: i64,
    /// Whether all of it restores.
    pub is_whole: bool,
}

impl SnapshotVerdict {
    fn path(self, id: SnapshotId) -> String {
        let word = if self.is_whole { "whole" } else { "damaged" };
        format!("{VERIFIED}/{id}.{:012}.{word}", self.at)
    }

    fn of_path(path: &str) -> Option<(SnapshotId, Self)> {
        let mut parts = path.strip_prefix(VERIFIED)?.strip_prefix('/')?.split('.');
        let (id, at, word) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        let is_whole = match word {
            "whole" => true,
            "damaged" => false,
            _ => return None,
        };
        parts.next().is_none().then_some((id, Self { at, is_whole }))
    }
}

impl Repository {
    /// What is known of the snapshots that were verified.
    ///
    /// # Errors
    /// When the target cannot be listed.
    pub fn verdicts(&self) -> Result<BTreeMap<SnapshotId, SnapshotVerdict>> {
        let mut verdicts = BTreeMap::new();
        for (id, verdict) in self.all_verdicts()? {
            let newest = verdicts.entry(id).or_insert(verdict);
            // Of two of one second the worse one counts.
            if (verdict.at, !verdict.is_whole) > (newest.at, !newest.is_whole) {
                *newest = verdict;
            }
        }
        Ok(verdicts)
    }

    /// Notes what was found, with what is wrong in words, in place of what was found before.
    pub(crate) fn set_verdict(&self, id: SnapshotId, verdict: SnapshotVerdict, what: &str) -> Result<()> {
        let path = verdict.path(id);
        self.target.put_new(&path, what.as_bytes())?;
        self.forget_verdicts(|(of, other)| of == id && other != verdict)
    }

    /// Removes the verdicts that `goes` names.
    pub(crate) fn forget_verdicts(&self, goes: impl Fn((SnapshotId, SnapshotVerdict)) -> bool) -> Result<()> {
        let gone = self.all_verdicts()?.into_iter().filter(|found| goes(*found));
        gone.map(|(id, verdict)| verdict.path(id)).try_for_each(|path| self.target.delete(&path))
    }

    fn all_verdicts(&self) -> Result<Vec<(SnapshotId, SnapshotVerdict)>> {
        Ok(self
            .target
            .list(VERIFIED)?
            .iter()
            .filter_map(|object| SnapshotVerdict::of_path(&object.path))
            .collect())
    }
}
