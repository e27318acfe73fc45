//! What verifying a snapshot found. It stands on the target, so that whoever lists, prunes or restores there knows it: an
//! object `verified/<snapshot>.<Unix seconds>.<whole|damaged>`, which holds what is wrong.

use std::collections::BTreeMap;

use ferry_core::backup::SnapshotId;

use crate::{BackupTarget, Error, Repository, Result, catalog::pack_of};

const VERIFIED: &str = "verified";
/// Most that is read of what is wrong.
const WHAT_MAX_BYTES: usize = 16 << 20;

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
        verdicts(&*self.target)
    }

    /// Notes the packs that verifying found damaged, whoever did it: the next snapshot stores anew what they hold.
    ///
    /// # Errors
    /// When the target cannot be read.
    pub(crate) fn note_found_damage(&self) -> Result<()> {
        let damaged = self.verdicts()?.into_iter().filter(|(_, verdict)| !verdict.is_whole);
        for (id, verdict) in damaged {
            let what = match self.target.get(&verdict.path(id), WHAT_MAX_BYTES) {
                // It says less, and never wrong things.
                Err(Error::Damaged { .. }) | Ok(None) => continue,
                read => read?.unwrap_or_default(),
            };
            let what = String::from_utf8_lossy(&what);
            let named = what.split(|end: char| end.is_whitespace() || end == ':').filter_map(pack_of);
            named.into_iter().try_for_each(|pack| self.catalog.note_damaged(pack))?;
        }
        Ok(())
    }

    /// Notes what was found, with what is wrong in words, in place of what was found before.
    pub(crate) fn set_verdict(&self, id: SnapshotId, verdict: SnapshotVerdict, what: &str) -> Result<()> {
        let path = verdict.path(id);
        self.target.put_new(&path, what.as_bytes())?;
        self.forget_verdicts(|(of, other)| of == id && other != verdict)
    }

    /// Removes the verdicts that `goes` names.
    pub(crate) fn forget_verdicts(&self, goes: impl Fn((SnapshotId, SnapshotVerdict)) -> bool) -> Result<()> {
        let gone = all_verdicts(&*self.target)?.into_iter().filter(|found| goes(*found));
        gone.map(|(id, verdict)| verdict.path(id)).try_for_each(|path| self.target.delete(&path))
    }
}

fn all_verdicts(target: &dyn BackupTarget) -> Result<Vec<(SnapshotId, SnapshotVerdict)>> {
    let listed = target.list(VERIFIED)?;
    Ok(listed.iter().filter_map(|object| SnapshotVerdict::of_path(&object.path)).collect())
}

/// What is known of the snapshots of a target that were verified: names tell it, with or without a key.
///
/// # Errors
/// When the target cannot be listed.
pub fn verdicts(target: &dyn BackupTarget) -> Result<BTreeMap<SnapshotId, SnapshotVerdict>> {
    let mut verdicts = BTreeMap::new();
    for (id, verdict) in all_verdicts(target)? {
        let newest = verdicts.entry(id).or_insert(verdict);
        // Of two of one second the worse one counts.
        if (verdict.at, !verdict.is_whole) > (newest.at, !newest.is_whole) {
            *newest = verdict;
        }
    }
    Ok(verdicts)
}
