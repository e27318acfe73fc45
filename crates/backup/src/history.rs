//! Which of what lies on a target leads to the state of the hub whose it is: another one may have shipped there as the same (OPR-12).

use ferry_core::backup::{
    log::TargetHistory,
    manifest::{Manifest, Scope},
};

use crate::{Error, Repository, Result, anchor::read_anchor};

/// What is told where the anchor does not say whose history lies there.
const UNTOLD: &str = "anchor.json is damaged, and does not tell whether another hub has shipped there as this one: all that lies there \
                      is taken for one hub's";

impl Repository {
    /// What of it leads to the state of the hub whose it is. Where nothing tells, that is all of it.
    ///
    /// # Errors
    /// When the target cannot be read.
    pub fn history(&self) -> Result<TargetHistory> {
        Ok(self.told_history()?.unwrap_or_default())
    }

    /// The same; `None`: the anchor is damaged, and does not tell.
    fn told_history(&self) -> Result<Option<TargetHistory>> {
        match read_anchor(&*self.target, self.key.as_ref()) {
            Ok(found) => Ok(Some(found.map(|(anchor, _)| anchor.tenures.history()).unwrap_or_default())),
            Err(Error::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What whoever restores or lists there should know of whose history lies there, in words.
    ///
    /// # Errors
    /// When the target cannot be read.
    pub fn history_note(&self) -> Result<Option<String>> {
        let Some(history) = self.told_history()? else { return Ok(Some(UNTOLD.to_owned())) };
        let mut others: Vec<String> =
            self.others(&history)?.map(|manifest| manifest.id.to_string()).collect();
        others.reverse();
        Ok((!others.is_empty()).then(|| {
            format!(
                "another hub has shipped there as this one while it had the target: what it left is not taken unasked, and restores \
                 when one of its backups is named: {}",
                others.join(", ")
            )
        }))
    }

    /// The error where no backup of the whole hub is its owner's.
    pub(crate) fn no_hub(&self, history: &TargetHistory) -> Result<Error> {
        let others: Vec<String> = self
            .others(history)?
            .filter(|manifest| manifest.scope == Scope::Hub)
            .map(|manifest| manifest.id.to_string())
            .collect();
        let url = self.url();
        Ok(Error::NotFound(match &others[..] {
            [] => format!("{url} has no backup of a whole hub: name one that it has"),
            others => format!(
                "{url} has no backup of the hub whose it is now; another one shipped there as it: to take what that one left, name it: {}",
                others.join(", ")
            ),
        }))
    }

    /// Snapshots that are not of this history.
    fn others(&self, history: &TargetHistory) -> Result<impl Iterator<Item = Manifest>> {
        let all = self.snapshots()?.into_iter().filter_map(|listed| listed.manifest.ok());
        Ok(all.filter(|manifest| !is_of(history, manifest)))
    }
}

/// Whether a snapshot is of this history.
pub(crate) fn is_of(history: &TargetHistory, manifest: &Manifest) -> bool {
    history.has_snapshot(manifest.taken_by(), manifest.id)
}
